// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/cpu_waits.h"
#include "diagnose/rules.h"

#include "base/printable.h"
#include "model/report_values.h"

#include <fmt/format.h>

namespace vtrace {
namespace {

constexpr const char* kGovernor = "/sys/devices/system/cpu/cpuidle/current_governor";
constexpr const char* kFrequency = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
constexpr const char* kDeepest = "/sys/module/intel_idle/parameters/max_cstate";

// ns: what an idle CPU does first is to run its softirqs; whoever it was woken for waits for them.
double softirqs_of_idle_cpus(const Facts& facts)
{
    const Report* softirqs = facts.report("softirqs");
    if (softirqs == nullptr)
        return 0;
    double sum = 0;
    for (const Row& row : softirqs->rows) {
        for (const Row& part : row.rows) {
            if (part.entity.kind == "part" && part.entity.name == kIdle)
                sum += value_of(part, "time");
        }
    }
    return sum;
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const double in_softirqs = softirqs_of_idle_cpus(context.facts);
    for (const CpuWaits& waits : cpu_waits(context.facts)) {
        const Row& blame = *waits.blame;
        const double share = share_of_part(waits, kIdle);
        const auto severity = context.severity_for(blame.entity, share, blame.histogram.count());
        if (!severity || share * (waits.ran + waits.waited) <= in_softirqs)
            continue;
        Finding finding = context.finding(
            blame.entity, *severity,
            {.what = "of the CPU time that it wanted it waited for while an idle CPU woke up",
             .value = share,
             .unit = FigureUnit::kShare,
             .samples = blame.histogram.count()},
            *context.facts.report("blame"));
        finding.what =
            fmt::format("{} waits for idle CPUs to wake up in {} of the time that it wants one",
                        printable(blame.entity.name), percent(share));
        finding.ruled_out = other_causes(waits, "");
        for (const char* file : {kGovernor, kFrequency, kDeepest}) {
            std::string value = context.facts.knob(file);
            if (!value.empty())
                finding.advice.push_back({.text = "Lighter idle states, a higher frequency",
                                          .knob = file,
                                          .present = value});
        }
        if (finding.advice.empty())
            finding.advice.push_back(
                {.text =
                     "This host has no settings of idle states and frequency: the hypervisor above "
                     "it has them"});
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule cpu_idle_rule()
{
    // A host with little to do is not ill: no more than P3.
    constexpr double kNever = 2;
    return {
        .name = "cpu-idle",
        .summary = "idle CPUs take long to wake up: idle states, frequency",
        .measure = "of the CPU time that it wanted (ran and waited), waited for a CPU that woke up",
        .unit = FigureUnit::kShare,
        .limits = {.p3 = 0.2, .p2 = kNever, .p1 = kNever, .p0 = kNever, .least = 100},
        .source =
            "own choice; exit latencies of idle states: Documentation/admin-guide/pm/cpuidle.rst",
        .tools = {"blame", "states", "softirqs"},
        .find = find};
}

} // namespace vtrace
