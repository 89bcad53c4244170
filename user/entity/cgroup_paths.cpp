// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_paths.h"

namespace vtrace {

CgroupPaths::CgroupPaths(const CgroupFacts& facts)
{
    by_id_.reserve(facts.cgroups.size());
    for (const CgroupFact& fact : facts.cgroups)
        by_id_[fact.id] = &fact;
}

std::vector<uint64_t> CgroupPaths::upwards(uint64_t id) const
{
    std::vector<uint64_t> ids;
    // Facts from a file may form a loop.
    while (ids.size() <= by_id_.size()) {
        const auto found = by_id_.find(id);
        if (found == by_id_.end())
            break;
        ids.push_back(id);
        id = found->second->parent;
    }
    return ids;
}

std::optional<std::string> CgroupPaths::path(uint64_t id) const
{
    const std::vector<uint64_t> ids = upwards(id);
    if (ids.empty() || by_id_.at(ids.back())->parent != 0)
        return std::nullopt;
    std::string path;
    for (size_t i = 0; i + 1 < ids.size(); i++)
        path = std::string("/").append(by_id_.at(ids[i])->name).append(path);
    return path.empty() ? "/" : path;
}

Entity CgroupPaths::entity(uint64_t id) const
{
    Entity entity{.kind = "cgroup", .id = id};
    const auto found = by_id_.find(id);
    entity.ended = found != by_id_.end() && found->second->removed;
    entity.cgroup = path(id).value_or("");
    entity.name = entity.cgroup.empty() ? "cgroup:" + std::to_string(id) : entity.cgroup;
    return entity;
}

} // namespace vtrace
