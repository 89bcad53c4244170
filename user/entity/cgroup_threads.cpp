// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_threads.h"

#include "base/files.h"
#include "entity/cgroup_paths.h"

#include <algorithm>

namespace vtrace {
namespace {

// A line for each: a thread of a pid namespace that is not seen from here is a 0.
uint64_t threads_in(const std::string& directory, bool v1)
{
    const auto text = read_file(directory + (v1 ? "/tasks" : "/cgroup.threads"));
    return text ? static_cast<uint64_t>(std::ranges::count(*text, '\n')) : 0;
}

} // namespace

std::unordered_map<uint64_t, uint64_t> count_threads(const CgroupHierarchy& hierarchy,
                                                     const CgroupFacts& cgroups,
                                                     const std::vector<uint64_t>& ids)
{
    std::unordered_map<uint64_t, uint64_t> counts;
    for (const uint64_t id : ids)
        counts[id] = 0;
    const CgroupPaths paths(cgroups);
    for (const CgroupFact& cgroup : cgroups.cgroups) {
        std::vector<uint64_t> owners = paths.upwards(cgroup.id);
        std::erase_if(owners, [&](uint64_t id) { return !counts.contains(id); });
        const auto path = paths.path(cgroup.id);
        if (owners.empty() || !path)
            continue;
        const uint64_t threads = threads_in(hierarchy.mount_point + *path, hierarchy.v1);
        for (const uint64_t id : owners)
            counts[id] += threads;
    }
    return counts;
}

} // namespace vtrace
