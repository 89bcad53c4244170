// SPDX-License-Identifier: GPL-2.0-only
#include "tools/runqlat.h"

#include "tools/report_parts.h"

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {.waits = true};
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "runqlat",
                                 "Wait for a CPU, throttling by the own CPU quota included");
    report.metric = kWait;
    report.group = options.group;
    const Entities entities(snapshot.cgroups, snapshot.entities);
    add_histograms(report, snapshot, entities, kWait, false);
    add_open(report, snapshot, entities, options.wait_kind(), false);
    finish(report, options);
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
        .parts = parts,
        .build = build,
        .single_waits = true,
    };
}

} // namespace vtrace
