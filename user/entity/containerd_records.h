// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/container_records.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// The namespace that Docker uses when it runs its containers through containerd: such a record has
// no name, only a cgroup.
constexpr std::string_view kDockerNamespace = "moby";

// containerd's containers, from the bundles that it makes for the runtime.
class ContainerdRecords {
public:
    explicit ContainerdRecords(std::string run) : run_(std::move(run)) {}

    [[nodiscard]] std::vector<ContainerRecord> all() const;
    // In each namespace that has it.
    [[nodiscard]] std::vector<ContainerRecord> with_id(const std::string& id) const;

private:
    [[nodiscard]] std::string tasks() const;

    std::string run_;
};

// The config.json of the bundle of this container in this namespace.
std::optional<ContainerRecord> parse_containerd_config(std::string_view text,
                                                       const std::string& space,
                                                       const std::string& id);

} // namespace vtrace
