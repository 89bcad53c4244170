// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/rules.h"

#include "base/printable.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace vtrace {
namespace {

// The quota that would have been enough, in CPUs, rounded up to a tenth, if it is without for so much of the time that it wants.
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
    advice.suggested = fmt::format("{:.0f} of {:.0f} us: about {:.1f} CPUs", cpus * period / kUs,
                                   period / kUs, cpus);
    return advice;
}

// Of the time that its threads wanted a CPU the part that they were throttled: where the quota ran out they had run as long
// as it lasts.
double lost_share(const Row& row)
{
    const auto waited = static_cast<double>(row.histogram.sum);
    const double ran = value_of(row, "throttled_periods") * value_of(row, "quota");
    const double lost = waited / std::max(1.0, waited + ran);
    return value_of(row, "throttled_share") * lost;
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("throttle");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const uint64_t periods = count_of(row, "periods");
        const double share = lost_share(row);
        const auto severity = context.severity_for(row.entity, share, periods);
        if (!severity)
            continue;
        Finding finding =
            context.finding(row.entity, *severity,
                            {.what = "of the time that it wanted a CPU it was throttled",
                             .value = share,
                             .unit = FigureUnit::kShare,
                             .samples = periods},
                            *report);
        finding.evidence.push_back({.what = "periods in which the CPU quota ran out",
                                    .value = value_of(row, "throttled_share"),
                                    .unit = FigureUnit::kShare,
                                    .samples = periods});
        const double throttled = value_of(row, "throttled_time");
        finding.evidence.push_back(
            {.what = "time throttled, summed over CPUs, as the kernel counts it",
             .value = throttled,
             .unit = FigureUnit::kTime});
        if (row.histogram.count() != 0)
            finding.evidence.push_back({.what = "waits of its threads for the next period",
                                        .value = static_cast<double>(row.histogram.sum),
                                        .unit = FigureUnit::kTime,
                                        .samples = row.histogram.count()});
        finding.what = fmt::format(
            "{} is throttled by its own CPU quota for {} of the time that it wants a CPU",
            printable(row.entity.name), percent(share));
        finding.culprit = row.entity;
        finding.advice.push_back(
            advice_for(value_of(row, "quota"), value_of(row, "period"), share));
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule cpu_throttled_rule()
{
    return {
        .name = "cpu-throttled",
        .summary = "the own CPU quota runs out",
        .measure = "of the time that it wanted a CPU, throttled by its quota",
        .unit = FigureUnit::kShare,
        .limits = {.p3 = 0.02, .p2 = 0.1, .p1 = 0.3, .p0 = 0.8, .least = 10},
        .source =
            "own choice; Kubernetes' rule CPUThrottlingHigh counts periods, and warns from 25 %: with most loads that is less than 10 % of the time",
        .tools = {"throttle"},
        .find = find};
}

} // namespace vtrace
