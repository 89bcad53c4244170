// SPDX-License-Identifier: GPL-2.0-only
#include "tools/throttle.h"

#include "base/printable.h"
#include "render/throttle_text.h"
#include "tools/report_parts.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

namespace vtrace {
namespace {

using Holders = std::unordered_map<uint64_t, const CgroupQuota*>;

SchedParts parts(const ToolOptions&)
{
    return {.throttling = true};
}

// Whose the quota is: of the kind if it is set on such a one itself, else a cgroup.
Entity holder_of(const Entities& entities, const CgroupQuota& quota, const std::string& kind)
{
    Entity entity = entities.owner(quota.cgroup_id, 0, kind);
    return entity.id == quota.cgroup_id ? entity : entities.owner(quota.cgroup_id, 0, "cgroup");
}

std::vector<Metric> metrics_of(const CgroupQuota& quota)
{
    constexpr double kUs = 1000;
    const QuotaCounts& c = quota.counts;
    const auto number = [](uint64_t count) { return static_cast<double>(count); };
    const double share = c.periods == 0 ? 0 : number(c.throttled) / number(c.periods);
    std::vector<Metric> metrics = {
        {.name = "periods", .unit = "1", .value = number(c.periods)},
        {.name = "throttled_periods", .unit = "1", .value = number(c.throttled)},
        {.name = "throttled_share", .type = Metric::Type::kShare, .unit = "1", .value = share},
        {.name = "throttled_time", .unit = "ns", .value = number(c.throttled_ns)},
        {.name = "bursts", .unit = "1", .value = number(c.bursts)},
        {.name = "burst_time", .unit = "ns", .value = number(c.burst_ns)}};
    if (quota.quota) {
        const auto gauge = [&](std::string name, uint64_t us) {
            metrics.push_back({.name = std::move(name),
                               .type = Metric::Type::kGauge,
                               .unit = "ns",
                               .value = number(us) * kUs});
        };
        gauge("quota", quota.quota->quota_us);
        gauge("period", quota.quota->period_us);
        gauge("burst", quota.quota->burst_us);
    }
    return metrics;
}

// The waits in a cgroup are of the nearest quota upwards; in others than the one it is set on, it is inherited.
void add_waits(Report& report, const Snapshot& snapshot, const Entities& entities,
               const std::map<uint64_t, size_t>& rows, const std::string& kind)
{
    const CgroupPaths paths(snapshot.cgroups);
    std::map<std::pair<size_t, std::string>, size_t> heirs;
    for (const OwnerTime& time : snapshot.sched.times) {
        if (time.about != kThrottled)
            continue;
        const auto upwards = paths.upwards(time.owner.cgroup_id);
        const auto holder =
            std::ranges::find_if(upwards, [&](uint64_t id) { return rows.contains(id); });
        if (holder == upwards.end())
            continue; // a quota above the part that was asked for, or removed with its cgroup
        const size_t number = rows.at(*holder);
        Row& row = report.rows[number];
        row.histogram.merge(time.time);
        if (*holder == time.owner.cgroup_id)
            continue;
        Entity heir = entity_of(entities, time.owner, kind);
        if (heir.kind == "host")
            heir = entity_of(entities, time.owner, "cgroup");
        const auto [at, is_new] = heirs.try_emplace({number, key_of(heir)}, row.rows.size());
        if (is_new)
            row.rows.push_back({.entity = std::move(heir), .histogram = time.time});
        else
            row.rows[at->second].histogram.merge(time.time);
    }
    for (Row& row : report.rows) {
        std::ranges::stable_sort(row.rows, std::greater{},
                                 [](const Row& r) { return r.histogram.sum; });
    }
}

double throttled_time(const Row& row)
{
    const auto found = std::ranges::find(row.metrics, "throttled_time", &Metric::name);
    return found->value;
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "throttle", "CPU quotas: how often they ran out");
    report.event = "wait";
    report.metric = "throttled_wait";
    report.nested = "inherited_by";
    report.group = options.wait_kind();
    const Entities entities(snapshot.cgroups, snapshot.entities);
    std::map<uint64_t, size_t> rows; // by the cgroup that the quota is set on
    for (const CgroupQuota& quota : snapshot.quotas) {
        Entity holder = holder_of(entities, quota, report.group);
        if (quota.changed) {
            report.notes.push_back("the quota of " + printable(holder.name) +
                                   (quota.quota ? " was changed" : " was taken off") +
                                   " in this window; shown is the last");
        }
        rows[quota.cgroup_id] = report.rows.size();
        report.rows.push_back({.entity = std::move(holder), .metrics = metrics_of(quota)});
    }
    add_waits(report, snapshot, entities, rows, report.group);
    std::ranges::stable_sort(report.rows, std::greater{}, throttled_time);
    if (std::ranges::any_of(report.rows, [](const Row& row) { return row.entity.ended; }))
        report.notes.emplace_back(
            "of what has ended, periods of up to its last second are missing");
    finish(report, options);
    return report;
}

} // namespace

ToolSpec throttle_tool()
{
    return {
        .name = "throttle",
        .summary = "how often CPU quotas ran out, and for how long",
        .details =
            "Of each cgroup with a CPU quota: the periods it was active in, the share of them in\n"
            "which the quota ran out, and the time that it was throttled for, summed over CPUs,\n"
            "as the kernel counts them (cpu.stat); a throttling counts when it ends. The\n"
            "distribution is of waits for a CPU: for how long of each the task was throttled. With\n"
            "several tasks on a CPU it adds up to more than the kernel's time, which is per CPU.\n"
            "Cgroups below that have no quota of their own inherit it; they are shown under it.\n"
            "--pid and --comm choose whose waits are in the distribution.",
        .examples =
            "  vtrace throttle 10 1                 every cgroup with a quota, for 10 s\n"
            "  vtrace throttle --container 10 1     the same, called by containers\n"
            "  vtrace throttle --pod=shop/web 10 1  one pod's\n"
            "  vtrace throttle --format json 1 | jq '.rows[0].metrics.throttled_share.value'\n",
        .parts = parts,
        .build = build,
        .text = throttle_text,
        .group = "cgroup",
        .quotas = true,
    };
}

} // namespace vtrace
