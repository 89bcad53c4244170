// SPDX-License-Identifier: GPL-2.0-only
#include "entity/entities.h"

#include <algorithm>

namespace vtrace {
namespace {

Entity in_no(std::string_view kind)
{
    return {.kind = "host", .name = "not in a " + std::string(kind)};
}

// Its number has the process in it: vt_vm_id().
Entity unknown_vm(uint64_t vm)
{
    constexpr uint64_t kPids = 1U << 22;
    const auto pid = static_cast<uint32_t>(vm % kPids);
    return {.kind = "vm", .name = "vm-" + std::to_string(pid), .pid = pid};
}

} // namespace

Entities::Entities(const CgroupFacts& cgroups, const std::vector<EntityFact>& facts)
    : paths_(cgroups)
{
    for (const EntityFact& fact : facts) {
        if (fact.kind != "vm") {
            by_cgroup_[fact.cgroup_id].push_back(&fact);
            continue;
        }
        vms_[fact.vm] = &fact;
    }
}

Entity Entities::owner(uint64_t cgroup_id, uint64_t vm, std::string_view kind) const
{
    if (kind == "cgroup")
        return paths_.entity(cgroup_id);
    if (kind == kNearest)
        return nearest(cgroup_id, vm);
    if (kind == "vm") {
        const auto found = vms_.find(vm);
        if (found != vms_.end())
            return described(*found->second);
        return vm == 0 ? in_no("vm") : unknown_vm(vm);
    }
    for (const uint64_t id : paths_.upwards(cgroup_id)) {
        const auto here = by_cgroup_.find(id);
        if (here == by_cgroup_.end())
            continue;
        for (const EntityFact* fact : here->second) {
            if (fact->kind == kind)
                return described(*fact);
        }
    }
    // A path with a gap may lead through one.
    if (!paths_.path(cgroup_id))
        return paths_.entity(cgroup_id);
    return in_no(kind);
}

Entity Entities::nearest(uint64_t cgroup_id, uint64_t vm) const
{
    if (vm != 0)
        return owner(cgroup_id, vm, "vm");
    for (const uint64_t id : paths_.upwards(cgroup_id)) {
        const auto here = by_cgroup_.find(id);
        if (here == by_cgroup_.end())
            continue;
        for (const std::string_view kind : {"container", "pod", "unit"}) {
            const auto of_kind = std::ranges::find(here->second, kind, &EntityFact::kind);
            if (of_kind != here->second.end())
                return described(**of_kind);
        }
    }
    return paths_.entity(cgroup_id);
}

Entity Entities::described(const EntityFact& fact) const
{
    Entity entity = paths_.entity(fact.cgroup_id);
    entity.kind = fact.kind;
    entity.name = fact.name;
    entity.uid = fact.id;
    entity.image = fact.image;
    entity.pid = fact.pid;
    entity.ended = entity.ended || fact.ended;
    for (const uint64_t id : paths_.upwards(fact.cgroup_id)) {
        const auto here = by_cgroup_.find(id);
        if (here == by_cgroup_.end())
            continue;
        for (const EntityFact* parent : here->second) {
            if (parent != &fact)
                entity.parents.push_back({parent->kind, parent->name});
        }
    }
    return entity;
}

std::vector<const EntityFact*> matching(const std::vector<EntityFact>& facts, std::string_view kind,
                                        std::string_view name)
{
    constexpr size_t kLeastOfAnId = 4;
    std::vector<const EntityFact*> exact;
    std::vector<const EntityFact*> by_id;
    for (const EntityFact& fact : facts) {
        if (fact.kind != kind)
            continue;
        const bool service = kind == "unit" && fact.name == std::string(name) + ".service";
        // A pod's name without its namespace.
        const size_t slash = kind == "pod" ? fact.name.find('/') : std::string::npos;
        const bool short_name =
            slash != std::string::npos && std::string_view(fact.name).substr(slash + 1) == name;
        const bool its_pid = fact.pid != 0 && std::to_string(fact.pid) == name;
        if (fact.name == name || service || short_name)
            exact.push_back(&fact);
        else if (its_pid || (name.size() >= kLeastOfAnId && fact.id.starts_with(name)))
            by_id.push_back(&fact);
    }
    return exact.empty() ? by_id : exact;
}

} // namespace vtrace
