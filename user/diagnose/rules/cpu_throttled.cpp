// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/rules.h"

#include "base/printable.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace vtrace {
namespace {

// The quota that would have been enough, in CPUs, rounded up to a tenth: what ran in the part of the window that was
// not throttled, in all of it. Threads that would have used more at once are in no figure.
double enough_cpus(double quota_cpus, double throttled_share)
{
    constexpr double kMostShare = 0.95;
    constexpr double kTenths = 10;
    return std::ceil(kTenths * quota_cpus / (1 - std::min(throttled_share, kMostShare))) / kTenths;
}

Advice advice_for(double quota, double period, double share)
{
    constexpr double kUs = 1000; // ns
    Advice advice{
        .text = "Raise the quota, or do with less CPU time; a longer period or a burst helps only "
                "against short peaks.",
        .knob = "cpu.max (v2), cpu.cfs_quota_us (v1)"};
    if (quota == 0 || period == 0)
        return advice;
    const double cpus = enough_cpus(quota / period, share);
    advice.present =
        fmt::format("{:.0f} of {:.0f} us: {:.2f} CPUs", quota / kUs, period / kUs, quota / period);
    advice.suggested = fmt::format("{:.0f} of {:.0f} us: {:.1f} CPUs, at least",
                                   cpus * period / kUs, period / kUs, cpus);
    return advice;
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("throttle");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const uint64_t periods = count_of(row, "periods");
        const double share = value_of(row, "throttled_share");
        const auto severity = context.severity_for(row.entity, share, periods);
        if (!severity)
            continue;
        Finding finding = context.finding(row.entity, *severity,
                                          {.what = "periods in which the CPU quota ran out",
                                           .value = share,
                                           .unit = FigureUnit::kShare,
                                           .samples = periods},
                                          *report);
        const double throttled = value_of(row, "throttled_time");
        finding.evidence.push_back({.what = "time throttled, as the kernel counts it",
                                    .value = throttled,
                                    .unit = FigureUnit::kTime,
                                    .against = static_cast<double>(report->duration_ns),
                                    .against_what = "window"});
        if (row.histogram.count() != 0)
            finding.evidence.push_back({.what = "waits of its threads for the next period",
                                        .value = static_cast<double>(row.histogram.sum),
                                        .unit = FigureUnit::kTime,
                                        .samples = row.histogram.count()});
        finding.what = fmt::format("{} is throttled by its own CPU quota in {} of its periods",
                                   printable(row.entity.name), percent(share));
        finding.culprit = row.entity;
        finding.advice.push_back(
            advice_for(value_of(row, "quota"), value_of(row, "period"),
                       throttled / std::max(1.0, static_cast<double>(report->duration_ns))));
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule cpu_throttled_rule()
{
    return {
        .name = "cpu-throttled",
        .summary = "the own CPU quota runs out",
        .measure = "share of the quota's periods in which it ran out",
        .unit = FigureUnit::kShare,
        .limits = {.p3 = 0.05, .p2 = 0.2, .p1 = 0.5, .p0 = 0.9, .least = 10},
        .source =
            "own choice; what is counted: Documentation/scheduler/sched-bwc.rst (nr_throttled). "
            "Kubernetes' rule CPUThrottlingHigh warns from 25 %",
        .tools = {"throttle"},
        .find = find};
}

} // namespace vtrace
