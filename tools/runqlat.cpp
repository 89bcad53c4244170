// SPDX-License-Identifier: GPL-2.0-only
#include "tools/runqlat.h"

#include "entity/entities.h"

#include <algorithm>
#include <map>
#include <unordered_set>
#include <utility>

namespace vtrace {
namespace {

Entity host_entity(const Snapshot& snapshot)
{
    return {.kind = "host", .name = snapshot.host.name};
}

std::vector<Row> entity_rows(const Snapshot& snapshot, const Entities& entities,
                             const std::string& kind)
{
    std::vector<Row> rows;
    std::map<std::pair<std::string, uint64_t>, size_t> known; // by kind and number: the row
    for (const CgroupWaits& waits : snapshot.sched.cgroups) {
        Entity entity = entities.owner(waits.cgroup_id, waits.vm, kind);
        const uint64_t number = entity.kind == "vm" ? waits.vm : entity.id;
        const auto [at, is_new] = known.try_emplace({entity.kind, number}, rows.size());
        if (is_new)
            rows.push_back({std::move(entity), waits.wait});
        else
            rows[at->second].histogram.merge(waits.wait);
    }
    if (snapshot.sched.rest.count() != 0)
        rows.push_back({{.kind = "other", .name = "other"}, snapshot.sched.rest});
    std::ranges::stable_sort(rows, std::greater{}, [](const Row& r) { return r.histogram.sum; });
    return rows;
}

// How many cgroups, in rows or open waits, have no known path.
size_t unresolved(const Report& report)
{
    std::unordered_set<uint64_t> ids;
    const auto look_at = [&](const Entity& entity) {
        if (entity.id != 0 && entity.cgroup.empty())
            ids.insert(entity.id);
    };
    for (const Row& row : report.rows)
        look_at(row.entity);
    for (const OpenRow& row : report.open)
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

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    constexpr size_t kTextRows = 20;
    const std::string kind = options.wait_kind();
    Report report{.tool = "runqlat",
                  .title = "Wait for a CPU, throttling by the own CPU quota included",
                  .metric = "wait",
                  .group = snapshot.sched.by_cgroup ? kind : "",
                  .host = snapshot.host,
                  .start_ns = snapshot.start_ns,
                  .duration_ns = snapshot.duration_ns,
                  .loss = snapshot.loss,
                  .overhead = snapshot.overhead};
    const Entities entities(snapshot.cgroups, snapshot.entities);
    if (!report.group.empty())
        report.rows = entity_rows(snapshot, entities, report.group);
    else if (snapshot.sched.rest.count() != 0)
        report.rows = {{host_entity(snapshot), snapshot.sched.rest}};
    for (const OpenWait& wait : snapshot.sched.open)
        report.open.push_back({entities.owner(wait.cgroup_id, wait.vm, kind), wait});

    std::ranges::stable_sort(report.open, std::greater{},
                             [](const OpenRow& r) { return r.wait.wait_ns; });
    report.loss.unresolved += unresolved(report);
    keep_top(report, options.top != 0 || options.json ? options.top : kTextRows);
    return report;
}

} // namespace

ToolSpec runqlat_tool()
{
    return {
        .name = "runqlat",
        .summary = "how long tasks waited for a CPU, per VM or container",
        .details =
            "A wait begins when a task becomes runnable or is preempted and ends when it gets\n"
            "a CPU; one that a migration splits counts once, whole. It is charged to whom the\n"
            "task that waited belongs to, and includes time throttled by the own CPU quota.\n"
            "A VM is its VMM's process and the kernel's threads that serve it (vhost, timer).\n"
            "The cgroup is that of v1's cpu controller where mounted, else of v2.",
        .examples = "  vtrace runqlat 1 3                   the host, once a second, three times\n"
                    "  vtrace runqlat --vm 1                per VM, until Ctrl-C\n"
                    "  vtrace runqlat --pod=shop/web --container 5 1\n"
                    "                                       the containers of one pod, 5 s\n"
                    "  vtrace runqlat --cgroup              per cgroup, until Ctrl-C\n"
                    "  vtrace runqlat --cgroup=/docker 5 1  the containers of Docker, 5 s\n"
                    "  vtrace runqlat --slower 10           each wait above 10 ms, as it ends\n"
                    "  vtrace runqlat --comm 'nginx*' --format json 1\n",
        .build = build,
    };
}

} // namespace vtrace
