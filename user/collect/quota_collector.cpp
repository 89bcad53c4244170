// SPDX-License-Identifier: GPL-2.0-only
#include "collect/quota_collector.h"

#include "entity/cgroup_paths.h"

#include <algorithm>

namespace vtrace {
namespace {

QuotaCounts difference(const QuotaCounts& now, const QuotaCounts& before)
{
    return {.periods = now.periods - before.periods,
            .throttled = now.throttled - before.throttled,
            .throttled_ns = now.throttled_ns - before.throttled_ns,
            .bursts = now.bursts - before.bursts,
            .burst_ns = now.burst_ns - before.burst_ns};
}

} // namespace

QuotaCollector::QuotaCollector(std::string_view mountinfo, uint64_t target)
    : limits_(mountinfo), target_(target)
{
}

void QuotaCollector::look(const CgroupFacts& cgroups)
{
    const CgroupPaths paths(cgroups);
    for (const CgroupFact& cgroup : cgroups.cgroups) {
        if (cgroup.removed)
            continue;
        const auto path = paths.path(cgroup.id);
        if (!path)
            continue;
        if (target_ != 0) {
            const auto above = paths.upwards(cgroup.id);
            if (std::ranges::find(above, target_) == above.end())
                continue;
        }
        look_at(cgroup.id, *path);
    }
    started_ = true;
    looked_ = Clock::now();
}

void QuotaCollector::look_at(uint64_t id, const std::string& path)
{
    const auto counts = limits_.quota_counts(path);
    if (!counts)
        return;
    const auto [at, is_new] = known_.try_emplace(id);
    Known& known = at->second;
    // Most cgroups never have a quota: one file of them is read, as long as the kernel counts nothing.
    if (is_new || known.quota || counts->periods != known.counts.periods) {
        const auto quota = limits_.quota(path);
        known.changed = known.changed || (!is_new && quota != known.quota);
        known.quota = quota;
    }
    known.counts = *counts;
    if (!started_)
        known.reported = *counts;
}

void QuotaCollector::read(Snapshot& snapshot)
{
    look(snapshot.cgroups);
    for (auto& [id, known] : known_) {
        if (known.quota || known.changed || known.counts != known.reported) {
            snapshot.quotas.push_back({.cgroup_id = id,
                                       .quota = known.quota,
                                       .changed = known.changed,
                                       .counts = difference(known.counts, known.reported)});
        }
        known.reported = known.counts;
        known.changed = false;
    }
    std::ranges::sort(snapshot.quotas, {}, &CgroupQuota::cgroup_id);
    for (const CgroupFact& cgroup : snapshot.cgroups.cgroups) {
        if (cgroup.removed)
            known_.erase(cgroup.id);
    }
}

} // namespace vtrace
