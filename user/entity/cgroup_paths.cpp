// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_paths.h"

#include <string_view>
#include <vector>

namespace vtrace {

CgroupPaths::CgroupPaths(const CgroupFacts& facts)
{
    by_id_.reserve(facts.cgroups.size());
    for (const CgroupFact& fact : facts.cgroups)
        by_id_[fact.id] = &fact;
}

std::optional<std::string> CgroupPaths::path(uint64_t id) const
{
    std::vector<std::string_view> parts;
    // Facts from a file may form a loop.
    for (size_t depth = 0; depth <= by_id_.size(); depth++) {
        const auto found = by_id_.find(id);
        if (found == by_id_.end())
            return std::nullopt;
        const CgroupFact& fact = *found->second;
        if (fact.parent == 0) {
            std::string path;
            for (const std::string_view part : parts)
                path = std::string("/").append(part).append(path);
            return path.empty() ? "/" : path;
        }
        parts.emplace_back(fact.name);
        id = fact.parent;
    }
    return std::nullopt;
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
