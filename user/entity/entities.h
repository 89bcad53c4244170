// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/cgroup_paths.h"
#include "model/report.h"
#include "model/snapshot.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vtrace {

// Whose a cgroup is, as a pure function of the facts of a Snapshot (which must outlive it).
// In place of a kind: whom a user would name as the owner, which is the VM, else the nearest container, pod or unit,
// else the cgroup itself.
inline constexpr std::string_view kNearest = "nearest";

class Entities {
public:
    Entities(const CgroupFacts& cgroups, const std::vector<EntityFact>& facts);

    // The entity of a kind (cgroup, container, pod or unit) that the cgroup belongs to: the nearest
    // upwards; of kind vm the one of this number. In none: an entity of kind host, named "not in a container"
    // and the like.
    [[nodiscard]] Entity owner(uint64_t cgroup_id, uint64_t vm, std::string_view kind) const;

private:
    [[nodiscard]] Entity described(const EntityFact& fact) const;
    [[nodiscard]] Entity nearest(uint64_t cgroup_id, uint64_t vm) const;

    CgroupPaths paths_;
    std::unordered_map<uint64_t, std::vector<const EntityFact*>> by_cgroup_; // but for VMs
    std::unordered_map<uint64_t, const EntityFact*> vms_;
};

// The facts that a user means by `name` among those of a kind: of that name or id, or of an id that
// begins so (four characters at least), or a VM of that process. A unit's suffix .service may be left out.
std::vector<const EntityFact*> matching(const std::vector<EntityFact>& facts, std::string_view kind,
                                        std::string_view name);

} // namespace vtrace
