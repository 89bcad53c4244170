// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "model/snapshot.h"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace vtrace {

// The cgroups of one hierarchy as they are now, and the removed ones until they are forgotten.
class CgroupTree {
public:
    // Adds the directories below the mount point. What vanishes meanwhile is left out.
    Status scan(const std::string& mount_point);
    // The same where nobody tells of removals: forgets those that are gone, and returns their ids.
    Result<std::vector<uint64_t>> rescan(const std::string& mount_point);

    void made(uint64_t id, uint64_t parent, std::string name);
    // A cgroup that was not known yet still gets its name.
    void removed(uint64_t id, uint64_t parent, std::string name);

    [[nodiscard]] std::vector<CgroupFact> facts() const;

    // Null if it is not known.
    [[nodiscard]] const CgroupFact* find(uint64_t id) const;
    // From the root of the hierarchy; empty if a part is not known.
    [[nodiscard]] std::string path(uint64_t id) const;

    // The ids of those made or renamed since the last call.
    std::vector<uint64_t> take_made() { return std::exchange(made_, {}); }
    // The ids of those removed since the last call. They stay until they are forgotten.
    std::vector<uint64_t> take_removed() { return std::exchange(removed_, {}); }
    void forget(uint64_t id) { by_id_.erase(id); }

private:
    std::unordered_map<uint64_t, CgroupFact> by_id_;
    std::vector<uint64_t> made_;
    std::vector<uint64_t> removed_;
};

} // namespace vtrace
