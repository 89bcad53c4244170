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
    for (BlockSeen& seen : block.seen)
        visit(seen.owner);
    for (BlockBeside& beside : block.beside) {
        visit(beside.owner);
        visit(beside.other);
    }
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
        const auto path = fact.kind == "vm" ? paths.path(fact.cgroup_id) : std::nullopt;
        if (path && *path != "/" && is_alone(hierarchy.mount_point + *path, fact.pid))
            vms[fact.cgroup_id] = fact.vm;
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

void complete_block(Snapshot& snapshot, const CgroupHierarchy& hierarchy, const BlockTarget& target)
{
    BlockSnapshot& block = snapshot.block;
    block.with_descendants = with_descendants(hierarchy, snapshot.cgroups, block);
    const auto vms = vms_of_cgroups(hierarchy, snapshot.cgroups, snapshot.entities);
    each_owner(block, [&](OwnerId& owner) {
        if (const auto vm = vms.find(owner.cgroup_id); vm != vms.end())
            owner.vm = vm->second;
    });
    const CgroupPaths paths(snapshot.cgroups);
    for (BlockSeen& seen : block.seen) {
        const auto path = paths.path(seen.owner.cgroup_id);
        if (seen.held != 0 && path)
            seen.limit = read_io_limit(hierarchy.mount_point + *path, seen.device);
    }
    if (target.cgroup == 0 && target.vm == 0)
        return;
    const auto unwanted = [&](const OwnerId& owner) {
        if (target.vm != 0 && owner.vm != target.vm)
            return true;
        const auto above = paths.upwards(owner.cgroup_id);
        return target.cgroup != 0 && std::ranges::find(above, target.cgroup) == above.end();
    };
    std::erase_if(block.figures, [&](const auto& f) { return unwanted(f.key.owner); });
    std::erase_if(block.open, [&](const auto& r) { return unwanted(r.key.owner); });
    std::erase_if(block.seen, [&](const auto& s) { return unwanted(s.owner); });
    std::erase_if(block.beside, [&](const auto& b) { return unwanted(b.owner); });
}

} // namespace vtrace
