// SPDX-License-Identifier: GPL-2.0-only
#include "tools/cpudist.h"

#include "tools/report_parts.h"

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions& options)
{
    return {.slices = !options.offcpu, .offcpu = options.offcpu};
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report =
        empty_report(snapshot, "cpudist",
                     options.offcpu ? "Time off the CPU, from a switch-out to the next switch-in"
                                    : "Time on a CPU at a stretch, however it ended");
    report.event = options.offcpu ? "absence" : "slice";
    report.metric = options.offcpu ? kOffCpu : kSlice;
    report.group = options.group;
    const Entities entities(snapshot.cgroups, snapshot.entities);
    add_histograms(report, snapshot, entities, options.offcpu ? kOffCpu : kSlice, false);
    finish(report, options);
    return report;
}

} // namespace

ToolSpec cpudist_tool()
{
    return {
        .name = "cpudist",
        .summary = "how long tasks stay on a CPU at a stretch, or off it",
        .details =
            "A slice begins when a task gets a CPU and ends when it leaves it: to sleep, to\n"
            "wait, preempted, or for good. With --offcpu the time from leaving a CPU to getting\n"
            "one again: asleep, blocked and waiting for a CPU. Charged to whom the task belongs\n"
            "to as it ends. A slice that has not ended is in the next report.",
        .examples = "  vtrace cpudist 1 3                   the host, once a second, three times\n"
                    "  vtrace cpudist --container 5 1       per container, 5 s\n"
                    "  vtrace cpudist --offcpu --pid 4711 5 1\n"
                    "                                       how long one process is away\n"
                    "  vtrace cpudist --comm 'nginx*' --format json 1\n",
        .parts = parts,
        .build = build,
        .flags = {{"--offcpu", "The time off a CPU instead", &ToolOptions::offcpu}},
    };
}

} // namespace vtrace
