// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/cgroup_hierarchy.h"
#include "model/snapshot.h"

#include <cstdint>
#include <map>

namespace vtrace {

// The VMs that have a cgroup for themselves, by its id (on v2 by that of the nearest one upwards with the io
// controller): the block I/O of that cgroup is theirs. The kernel knows the cgroup of a request, not the process.
std::map<uint64_t, uint64_t> vms_of_cgroups(const CgroupHierarchy& hierarchy,
                                            const CgroupFacts& cgroups,
                                            const std::vector<EntityFact>& entities);

// Which cgroups with figures stand for those below them, too: on v2 without the io controller there
// (Documentation/admin-guide/cgroup-v2.rst).
std::vector<uint64_t> with_descendants(const CgroupHierarchy& hierarchy, const CgroupFacts& cgroups,
                                       const BlockSnapshot& block);

// What is asked for: a subtree of cgroups, a VM; 0 is all.
struct BlockTarget {
    uint64_t cgroup = 0;
    uint64_t vm = 0;
};

// Says of which VMs figures are and which limits hold I/O back, and takes out what was not asked for. The snapshot
// has its names already.
void complete_block(Snapshot& snapshot, const CgroupHierarchy& hierarchy,
                    const BlockTarget& target);

// The same for single requests.
void complete_slow(std::vector<SlowRequest>& requests, const CgroupHierarchy& hierarchy,
                   const CgroupFacts& cgroups, const std::vector<EntityFact>& entities,
                   const BlockTarget& target);

} // namespace vtrace
