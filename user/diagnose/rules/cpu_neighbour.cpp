// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/cpu_waits.h"
#include "diagnose/rules.h"

#include "base/printable.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>

namespace vtrace {
namespace {

// Who held the CPUs for longest, of those that are not the kernel and not the victim.
const Row* worst_neighbour(const Row& blame)
{
    const auto neighbour = std::ranges::find_if(blame.rows, [](const Row& row) {
        return row.entity.kind != "part" && row.entity.kind != "kernel" &&
               row.entity.kind != "other";
    });
    return neighbour == blame.rows.end() ? nullptr : &*neighbour;
}

void find(const Context& context, std::vector<Finding>& findings)
{
    for (const CpuWaits& waits : cpu_waits(context.facts)) {
        const Row& blame = *waits.blame;
        if (blame.entity.kind == "vm" || blame.entity.kind == "kernel")
            continue; // rules of their own
        const double share = waits.share("neighbour");
        const auto severity = context.severity_for(blame.entity, share, blame.histogram.count());
        const Row* neighbour = worst_neighbour(blame);
        if (!severity || neighbour == nullptr)
            continue;
        Finding finding =
            context.finding(blame.entity, *severity,
                            {.what = "of the CPU time that it wanted it waited for behind others",
                             .value = share,
                             .unit = FigureUnit::kShare,
                             .samples = blame.histogram.count()},
                            *context.facts.report("blame"));
        const auto held = static_cast<double>(neighbour->histogram.sum);
        finding.what = fmt::format(
            "{} waited for a CPU in {} of the time that it wanted one, as {} and others ran",
            printable(blame.entity.name), percent(share), printable(neighbour->entity.name));
        finding.culprit = neighbour->entity;
        finding.evidence.push_back(
            {.what = "of its waits, " + printable(neighbour->entity.name) + " held the CPU for",
             .value = held,
             .unit = FigureUnit::kTime,
             .samples = neighbour->histogram.count(),
             .against = waits.waited,
             .against_what = "all its waits"});
        finding.ruled_out = other_causes(waits, "neighbour");
        finding.advice.push_back(
            {.text = fmt::format("Give it CPUs of its own, or more weight than {}",
                                 printable(neighbour->entity.name)),
             .knob = "cpuset.cpus; cpu.weight (v2), cpu.shares (v1)"});
        finding.advice.push_back({.text = "Or limit " + printable(neighbour->entity.name),
                                  .knob = "its cpu.max (v2), cpu.cfs_quota_us (v1)"});
        // Where two fight for a CPU both wait: first is who waits for nothing but the other.
        finding.impact = share * value_of(blame, "neighbour") / std::max(1.0, waits.waited);
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule cpu_neighbour_rule()
{
    return {.name = "cpu-neighbour",
            .summary = "others hold the CPUs that an owner wants",
            .measure = "of the CPU time that it wanted (ran and waited), waited for behind others",
            .unit = FigureUnit::kShare,
            .limits = {.p3 = 0.05, .p2 = 0.15, .p1 = 0.3, .p0 = 0.8, .least = 20},
            .source =
                "own choice: two owners with equal weights on one CPU have 0.5 each; VMware's "
                "guides to CPU ready time look into it from 0.05 on",
            .tools = {"blame", "states"},
            .find = find};
}

} // namespace vtrace
