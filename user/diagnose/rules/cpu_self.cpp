// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/cpu_waits.h"
#include "diagnose/rules.h"

#include "base/printable.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>

namespace vtrace {
namespace {

void find(const Context& context, std::vector<Finding>& findings)
{
    for (const CpuWaits& waits : cpu_waits(context.facts)) {
        const Row& blame = *waits.blame;
        if (blame.entity.kind == "vm" || blame.entity.kind == "kernel")
            continue; // rules of their own
        const double share = waits.share("self");
        const auto severity = context.severity_for(blame.entity, share, blame.histogram.count());
        if (!severity)
            continue;
        const Report& report = *context.facts.report("blame");
        Finding finding = context.finding(
            blame.entity, *severity,
            {.what = "of the CPU time that it wanted it waited for behind threads of its own",
             .value = share,
             .unit = FigureUnit::kShare,
             .samples = blame.histogram.count()},
            report);
        const double cpus = waits.ran / std::max(1.0, static_cast<double>(report.duration_ns));
        finding.what =
            fmt::format("{} has more to run than the {:.1f} CPUs that it gets: its own threads "
                        "wait for each other in {} of the time that they want one",
                        printable(blame.entity.name), cpus, percent(share));
        finding.culprit = blame.entity;
        finding.evidence.push_back({.what = "it ran for",
                                    .value = waits.ran,
                                    .unit = FigureUnit::kTime,
                                    .against = static_cast<double>(report.duration_ns),
                                    .against_what = "window"});
        if (const Row* states = states_of(context.facts, blame.entity))
            finding.evidence.push_back({.what = "threads at the end of the window",
                                        .value = value_of(*states, "threads")});
        finding.ruled_out = other_causes(waits, "self");
        finding.advice.push_back({.text = "Fewer threads at once, or more CPUs",
                                  .knob = "its number of workers; cpuset.cpus",
                                  .present = fmt::format("{:.1f} CPUs used", cpus)});
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule cpu_self_rule()
{
    return {
        .name = "cpu-self",
        .summary = "an owner has more threads to run than it gets CPUs",
        .measure =
            "of the CPU time that it wanted (ran and waited), waited for behind its own threads",
        .unit = FigureUnit::kShare,
        .limits = {.p3 = 0.1, .p2 = 0.3, .p1 = 0.7, .p0 = 0.95, .least = 20},
        .source = "own choice: with twice as many threads as CPUs it is 0.5, with four times as "
                  "many 0.75",
        .tools = {"blame", "states"},
        .find = find};
}

} // namespace vtrace
