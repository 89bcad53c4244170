// SPDX-License-Identifier: GPL-2.0-only
#include "tools/report_parts.h"

#include <algorithm>
#include <map>
#include <unordered_set>
#include <utility>

namespace vtrace {
namespace {

constexpr size_t kTextRows = 20;

// How many cgroups, in rows or open waits, have no known path.
size_t unresolved(const Report& report)
{
    std::unordered_set<uint64_t> ids;
    const auto look_at = [&](const Entity& entity) {
        if (entity.id != 0 && entity.cgroup.empty() && entity.kind != "thread")
            ids.insert(entity.id);
    };
    for (const Row& row : report.rows) {
        look_at(row.entity);
        for (const Row& nested : row.rows)
            look_at(nested.entity);
    }
    for (const OpenRow& row : report.open)
        look_at(row.entity);
    for (const KillRow& row : report.kills) {
        look_at(row.victim);
        look_at(row.cause);
    }
    for (const ConnectRow& row : report.connecting)
        look_at(row.entity);
    return ids.size();
}

// Merges the rows beyond the first `top` into one.
void keep_top(Report& report, size_t top)
{
    if (top == 0 || report.rows.size() <= top)
        return;
    report.rows_left_out = report.rows.size() - top;
    for (size_t i = top; i < report.rows.size(); i++)
        report.left_out.merge(report.rows[i].histogram);
    report.rows.resize(top);
}

} // namespace

Report empty_report(const Snapshot& snapshot, std::string_view tool, std::string title)
{
    return {.tool = std::string(tool),
            .title = std::move(title),
            .host = snapshot.host,
            .start_ns = snapshot.start_ns,
            .duration_ns = snapshot.duration_ns,
            .loss = snapshot.loss,
            .overhead = snapshot.overhead};
}

Entity entity_of(const Entities& entities, const OwnerId& owner, const std::string& kind)
{
    if (!owner.kthread.empty())
        return {.kind = "kernel", .name = owner.kthread};
    if (owner.cgroup_id == 0 && owner.vm == 0)
        return {.kind = "other", .name = "other"};
    return entities.owner(owner.cgroup_id, owner.vm, kind);
}

Entity entity_in_cgroups(const Snapshot& snapshot, const Entities& entities, const OwnerId& owner,
                         const std::string& kind)
{
    const auto root = std::ranges::find(snapshot.cgroups.cgroups, 0, &CgroupFact::parent);
    if (owner.kthread.empty() || root == snapshot.cgroups.cgroups.end())
        return entity_of(entities, owner, kind);
    return entity_of(entities, {.cgroup_id = root->id}, kind);
}

void add_histograms(Report& report, const Snapshot& snapshot, const Entities& entities,
                    std::string_view about, bool kernel_apart)
{
    const auto named = [&](const OwnerId& owner) {
        if (report.group.empty())
            return Entity{.kind = "host", .name = snapshot.host.name};
        return kernel_apart ? entity_of(entities, owner, report.group)
                            : entity_in_cgroups(snapshot, entities, owner, report.group);
    };
    std::map<std::string, size_t> known; // the row
    for (const OwnerTime& time : snapshot.sched.times) {
        if (time.about != about)
            continue;
        Entity entity = named(time.owner);
        const auto [at, is_new] = known.try_emplace(key_of(entity), report.rows.size());
        if (is_new)
            report.rows.push_back({.entity = std::move(entity), .histogram = time.time});
        else
            report.rows[at->second].histogram.merge(time.time);
    }
    std::ranges::stable_sort(report.rows, std::greater{},
                             [](const Row& r) { return r.histogram.sum; });
}

void add_open(Report& report, const Snapshot& snapshot, const Entities& entities,
              const std::string& kind, bool with_parts)
{
    for (const OpenWait& wait : snapshot.sched.open) {
        OpenRow row{.entity = entities.owner(wait.cgroup_id, wait.vm, kind), .wait = wait};
        if (!with_parts)
            row.wait.parts.clear();
        for (const OpenPart& part : row.wait.parts) {
            Entity culprit = part.about == kNeighbour ? entity_of(entities, part.culprit, kind)
                                                      : Entity{.kind = "part", .name = part.about};
            row.parts.push_back({std::move(culprit), part.ns});
        }
        std::ranges::stable_sort(row.parts, std::greater{}, &OpenPartRow::ns);
        report.open.push_back(std::move(row));
    }
    std::ranges::stable_sort(report.open, std::greater{},
                             [](const OpenRow& r) { return r.wait.wait_ns; });
}

Histogram& histogram_of(Row& row, std::string_view name)
{
    const auto known = std::ranges::find(row.histograms, name, &NamedHistogram::name);
    if (known != row.histograms.end())
        return known->histogram;
    return row.histograms.emplace_back(NamedHistogram{std::string(name), {}}).histogram;
}

void finish(Report& report, const ToolOptions& options)
{
    report.loss.unresolved += unresolved(report);
    keep_top(report, options.top != 0 || options.json ? options.top : kTextRows);
}

} // namespace vtrace
