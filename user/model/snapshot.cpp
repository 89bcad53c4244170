// SPDX-License-Identifier: GPL-2.0-only
#include "model/snapshot.h"

#include <algorithm>

namespace vtrace {

const std::vector<LossCounter>& loss_counters()
{
    static const std::vector<LossCounter> counters = {
        {"map_full", &Loss::map_full, "events charged to `other`: no slot was free"},
        {"ring_dropped", &Loss::ring_dropped, "single events not shown: the buffer was full"},
        {"rate_limited", &Loss::rate_limited, "single events not shown: too many in a second"},
        {"clock_anomaly", &Loss::clock_anomaly,
         "events not measured: the kernel's times were impossible"},
        {"missed_start", &Loss::missed_start, "events not measured: their start was not seen"},
        {"recovered", &Loss::recovered,
         "events recovered from the kernel's totals, in the figures"},
        {"task_failed", &Loss::task_failed, "tasks not measured: no memory for their state"},
        {"recursion_misses", &Loss::recursion_misses, "program runs skipped by the kernel"},
        {"cgroup_dropped", &Loss::cgroup_dropped, "changes of cgroups not seen: buffer full"},
        {"stacks_not_taken", &Loss::stacks_not_taken, "stacks not taken"},
        {"stacks_lost", &Loss::stacks_lost, "stacks not shown: their table was full"},
        {"blocks_lost", &Loss::blocks_lost, "times off a CPU not shown: the table was full"},
        {"blocks_lost_ns", &Loss::blocks_lost_ns, "ns in these"},
        {"stacks_unnoticed", &Loss::stacks_unnoticed,
         "user stacks named late, if at all: the buffer was full"},
        {"samples_missed", &Loss::samples_missed,
         "samples not taken: a CPU was late for them, or offline"},
        {"unseen", &Loss::unseen, "events not seen, at least: the kernel counts more"},
        {"unresolved", &Loss::unresolved, "cgroups without a known path"},
    };
    return counters;
}

bool Loss::clean() const
{
    return fallbacks.empty() && std::ranges::all_of(loss_counters(), [&](const LossCounter& c) {
               return this->*c.count == 0;
           });
}

} // namespace vtrace
