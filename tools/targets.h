// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "entity/cgroup_hierarchy.h"
#include "model/snapshot.h"

#include <cstdint>
#include <string>
#include <vector>

namespace vtrace {

// The VMs, or the pods, containers or units, that are here now: those of one kind.
Result<std::vector<EntityFact>> entities_now(const CgroupHierarchy& hierarchy,
                                             const std::string& kind);

// The VM, pod, container or unit that a user names. Usage error if there is none of that name, or more
// than one; it lists those to choose from.
Result<EntityFact> find_entity(const CgroupHierarchy& hierarchy, const std::string& kind,
                               const std::string& name);

} // namespace vtrace
