// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/cgroup_hierarchy.h"
#include "model/snapshot.h"

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace vtrace {

// How many threads each of these cgroups has now, those of the cgroups below it included. Reads one
// file of each cgroup in them, once; what cannot be read has none.
std::unordered_map<uint64_t, uint64_t> count_threads(const CgroupHierarchy& hierarchy,
                                                     const CgroupFacts& cgroups,
                                                     const std::vector<uint64_t>& ids);

} // namespace vtrace
