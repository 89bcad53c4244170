// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/container_records.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vtrace {

// One entry of containers.json of containers/storage, which Podman and CRI-O both keep.
struct StorageContainer {
    ContainerRecord record;
    std::string pod_id; // the sandbox's id (CRI-O)
};

// The entries that are complete and that Podman or CRI-O made (Buildah's have no such metadata).
std::vector<StorageContainer> parse_storage_containers(std::string_view text);

// Podman's and CRI-O's containers, from their state files.
class PodmanRecords {
public:
    PodmanRecords(std::vector<std::string> roots, std::vector<std::string> runs);

    std::vector<ContainerRecord> all();
    // By lists that are not always the newest: who is missing may be there a moment later.
    std::optional<ContainerRecord> one(const std::string& id);

private:
    // A containers.json as it was when it was read last.
    struct File {
        uint64_t inode = 0;
        int64_t size = -1;
        int64_t seconds = 0;
        int64_t nanoseconds = 0;
        std::unordered_map<std::string, StorageContainer> containers;

        [[nodiscard]] bool same_as(const File& other) const;
    };

    void refresh();
    // Moves what is known out of files_ if the file is still the same.
    std::optional<File> read_if_changed(const std::string& path);
    [[nodiscard]] ContainerRecord complete(const StorageContainer& container,
                                           const std::string& driver) const;
    [[nodiscard]] const StorageContainer* sandbox(const std::string& id) const;

    std::vector<std::string> roots_;
    std::vector<std::string> runs_;
    // By path; a path is <root or run>/<driver>-containers/<file>.
    std::unordered_map<std::string, File> files_;
    std::chrono::steady_clock::time_point rest_until_;
};

} // namespace vtrace
