// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "entity/cgroup_hierarchy.h"
#include "model/snapshot.h"

#include <cstdint>
#include <string>
#include <vector>

namespace vtrace {

// The containers, pods and units that are here now.
Result<std::vector<EntityFact>> entities_now(const CgroupHierarchy& hierarchy);

// The cgroup of the container, pod or unit that a user names. Usage error if there is none of that
// name, or more than one; it lists those to choose from.
Result<uint64_t> find_entity(const CgroupHierarchy& hierarchy, const std::string& kind,
                             const std::string& name);

} // namespace vtrace
