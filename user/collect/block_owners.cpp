// SPDX-License-Identifier: GPL-2.0-only
#include "collect/block_owners.h"

#include "base/files.h"
#include "base/numbers.h"
#include "entity/cgroup_paths.h"
#include "entity/io_limit.h"

#include <algorithm>
#include <set>
#include <string>

namespace vtrace {
namespace {

// Calls `visit` for each owner that the figures name.
template <typename Visit> void each_owner(BlockSnapshot& block, Visit visit)
{
    for (BlockFigure& figure : block.figures)
        visit(figure.key.owner);
    for (OpenRequest& open : block.open)
        visit(open.key.owner);
    for (BlockCompany& company : block.companies) {
        for (BlockPresence& presence : company.owners)
            visit(presence.owner);
    }
}

// v1 has the controller in all cgroups.
bool has_io(const CgroupHierarchy& hierarchy, const std::string& path)
{
    if (hierarchy.v1)
        return true;
    const auto text = read_file(hierarchy.mount_point + path + "/cgroup.controllers");
    const auto names = split(text ? trimmed(*text) : "", ' ');
    return std::ranges::find(names, "io") != names.end();
}

// The cgroup that the block I/O of a cgroup is charged to: the nearest upwards with the controller; 0 if that is not
// known.
uint64_t charged(const CgroupHierarchy& hierarchy, const CgroupPaths& paths, uint64_t cgroup)
{
    for (const uint64_t id : paths.upwards(cgroup)) {
        const auto path = paths.path(id);
        if (path && (*path == "/" || has_io(hierarchy, *path)))
            return id;
    }
    return 0;
}

// The processes in a cgroup are this one and threads of the kernel that serve it, if any.
bool is_alone(const std::string& directory, uint32_t pid)
{
    const auto text = read_file(directory + "/cgroup.procs");
    if (!text)
        return false;
    bool there = false;
    for (const std::string_view line : split(*text, '\n')) {
        const auto other = whole_number(line);
        if (other == pid) {
            there = true;
            continue;
        }
        // A thread of the kernel has no command line.
        const auto command = read_file("/proc/" + std::string(line) + "/cmdline");
        if (!command || !command->empty())
            return false;
    }
    return there;
}

} // namespace

std::map<uint64_t, uint64_t> vms_of_cgroups(const CgroupHierarchy& hierarchy,
                                            const CgroupFacts& cgroups,
                                            const std::vector<EntityFact>& entities)
{
    const CgroupPaths paths(cgroups);
    std::map<uint64_t, uint64_t> vms;
    for (const EntityFact& fact : entities) {
        if (fact.kind != "vm")
            continue;
        const uint64_t cgroup = charged(hierarchy, paths, fact.cgroup_id);
        const auto path = paths.path(cgroup);
        if (path && *path != "/" && is_alone(hierarchy.mount_point + *path, fact.pid))
            vms[cgroup] = fact.vm;
    }
    return vms;
}

std::vector<uint64_t> with_descendants(const CgroupHierarchy& hierarchy, const CgroupFacts& cgroups,
                                       const BlockSnapshot& block)
{
    if (hierarchy.v1)
        return {};
    std::set<uint64_t> parents;
    for (const CgroupFact& cgroup : cgroups.cgroups)
        parents.insert(cgroup.parent);
    std::set<uint64_t> owners;
    for (const BlockFigure& figure : block.figures)
        owners.insert(figure.key.owner.cgroup_id);
    const CgroupPaths paths(cgroups);
    std::vector<uint64_t> found;
    for (const uint64_t id : owners) {
        const auto path = paths.path(id);
        if (!path || !parents.contains(id))
            continue;
        const auto enabled = read_file(hierarchy.mount_point + *path + "/cgroup.subtree_control");
        const auto names = split(enabled ? trimmed(*enabled) : "", ' ');
        if (std::ranges::find(names, "io") == names.end())
            found.push_back(id);
    }
    return found;
}

namespace {

// Limits that hold back what samples saw.
std::vector<BlockLimit> limits_of(const BlockSnapshot& block, const CgroupHierarchy& hierarchy,
                                  const CgroupPaths& paths)
{
    std::map<std::pair<OwnerId, uint32_t>, IoLimit> found;
    for (const BlockCompany& company : block.companies) {
        for (const BlockPresence& presence : company.owners) {
            const auto path = paths.path(presence.owner.cgroup_id);
            const std::pair key(presence.owner, company.device);
            if (presence.held.by_limit && path && !found.contains(key))
                found[key] = read_io_limit(hierarchy.mount_point + *path, company.device);
        }
    }
    std::vector<BlockLimit> limits;
    limits.reserve(found.size());
    for (const auto& [key, limit] : found)
        limits.push_back({.owner = key.first, .device = key.second, .limit = limit});
    return limits;
}

// What found no room is of somebody who was asked for.
bool is_unwanted(const OwnerId& owner, const CgroupPaths& paths, const BlockTarget& target)
{
    if (owner == OwnerId{})
        return false;
    if (target.vm != 0 && owner.vm != target.vm)
        return true;
    const auto above = paths.upwards(owner.cgroup_id);
    return target.cgroup != 0 && std::ranges::find(above, target.cgroup) == above.end();
}

void add_vm(OwnerId& owner, const std::map<uint64_t, uint64_t>& vms)
{
    if (const auto vm = vms.find(owner.cgroup_id); vm != vms.end())
        owner.vm = vm->second;
}

} // namespace

void complete_block(Snapshot& snapshot, const CgroupHierarchy& hierarchy, const BlockTarget& target)
{
    BlockSnapshot& block = snapshot.block;
    const CgroupPaths paths(snapshot.cgroups);
    block.with_descendants = with_descendants(hierarchy, snapshot.cgroups, block);
    const auto vms = vms_of_cgroups(hierarchy, snapshot.cgroups, snapshot.entities);
    each_owner(block, [&](OwnerId& owner) { add_vm(owner, vms); });
    block.limits = limits_of(block, hierarchy, paths);
    if (target.cgroup == 0 && target.vm == 0)
        return;
    const auto path = paths.path(target.cgroup);
    if (target.cgroup != 0 && path && !has_io(hierarchy, *path)) {
        snapshot.loss.fallbacks.push_back(
            *path + " has no io controller: its I/O is charged to " +
            paths.entity(charged(hierarchy, paths, target.cgroup)).name + ", and not shown");
    }
    // Who is beside those that were asked for stays.
    std::erase_if(block.figures,
                  [&](const auto& f) { return is_unwanted(f.key.owner, paths, target); });
    std::erase_if(block.open,
                  [&](const auto& r) { return is_unwanted(r.key.owner, paths, target); });
    block.asked_for.emplace();
    each_owner(block, [&](const OwnerId& owner) {
        if (!is_unwanted(owner, paths, target))
            block.asked_for->insert(owner);
    });
}

void complete_slow(std::vector<SlowRequest>& requests, const CgroupHierarchy& hierarchy,
                   const CgroupFacts& cgroups, const std::vector<EntityFact>& entities,
                   const BlockTarget& target)
{
    const auto vms = vms_of_cgroups(hierarchy, cgroups, entities);
    const CgroupPaths paths(cgroups);
    for (SlowRequest& request : requests)
        add_vm(request.key.owner, vms);
    std::erase_if(requests, [&](const auto& r) { return is_unwanted(r.key.owner, paths, target); });
}

} // namespace vtrace
