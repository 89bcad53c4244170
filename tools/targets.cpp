// SPDX-License-Identifier: GPL-2.0-only
#include "tools/targets.h"

#include "base/printable.h"
#include "entity/entities.h"
#include "entity/entity_finder.h"
#include "entity/vm_finder.h"

#include <algorithm>
#include <set>

namespace vtrace {
namespace {

std::string listed(const std::set<std::string>& names)
{
    constexpr size_t kShown = 10;
    std::string text;
    size_t shown = 0;
    for (const std::string& name : names) {
        if (shown++ == kShown)
            return text + " and " + std::to_string(names.size() - kShown) + " more";
        text += (text.empty() ? "" : ", ") + name;
    }
    return text;
}

Error no_such(const std::vector<EntityFact>& facts, const std::string& kind,
              const std::string& name)
{
    std::set<std::string> names;
    for (const EntityFact& fact : facts)
        names.insert(printable(fact.name));
    return {.what = "there is no " + kind + " " + printable(name),
            .hint = names.empty() ? "there is no " + kind + " at all; --cgroup knows every cgroup"
                                  : "there are: " + listed(names),
            .exit = ExitCode::kUsage};
}

// What a user can give instead of a name that several have.
std::string told_apart(const EntityFact& fact)
{
    if (fact.pid != 0)
        return " (pid " + std::to_string(fact.pid) + ")";
    return fact.id.empty() ? "" : " (" + printable(fact.id) + ")";
}

Error ambiguous(const std::vector<const EntityFact*>& found, const std::string& kind,
                const std::string& name)
{
    std::set<std::string> names;
    for (const EntityFact* fact : found)
        names.insert(printable(fact->name) + told_apart(*fact));
    return {.what = std::to_string(found.size()) + " of kind " + kind + " are called " +
                    printable(name),
            .hint = "give more of the name or the id: " + listed(names),
            .exit = ExitCode::kUsage};
}

} // namespace

Result<std::vector<EntityFact>> entities_now(const CgroupHierarchy& hierarchy,
                                             const std::string& kind)
{
    if (kind == "vm")
        return vms_now(hierarchy);
    CgroupTree tree;
    if (auto scanned = tree.scan(hierarchy.mount_point); !scanned)
        return scanned.error();
    EntityFinder finder{ContainerRecords(engine_paths())};
    finder.update(tree, EntityFinder::Clock::now());
    std::vector<EntityFact> facts = finder.facts();
    std::erase_if(facts, [&](const EntityFact& fact) { return fact.kind != kind; });
    return facts;
}

Result<EntityFact> find_entity(const CgroupHierarchy& hierarchy, const std::string& kind,
                               const std::string& name)
{
    const auto facts = entities_now(hierarchy, kind);
    if (!facts)
        return facts.error();
    const auto found = matching(*facts, kind, name);
    if (found.empty())
        return no_such(*facts, kind, name);
    if (found.size() > 1)
        return ambiguous(found, kind, name);
    return *found.front();
}

} // namespace vtrace
