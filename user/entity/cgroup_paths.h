// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "model/snapshot.h"

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace vtrace {

// Names of cgroups, as a pure function of the facts of a Snapshot (which must outlive it).
class CgroupPaths {
public:
    explicit CgroupPaths(const CgroupFacts& facts);

    // The path from the root of the hierarchy ("/" for the root), or nothing if a part is unknown.
    [[nodiscard]] std::optional<std::string> path(uint64_t id) const;

    // The cgroup and those above it, as far as they are known.
    [[nodiscard]] std::vector<uint64_t> upwards(uint64_t id) const;

    // The cgroup as an Entity; one without a known path is called cgroup:<id>.
    [[nodiscard]] Entity entity(uint64_t id) const;

private:
    std::unordered_map<uint64_t, const CgroupFact*> by_id_;
};

} // namespace vtrace
