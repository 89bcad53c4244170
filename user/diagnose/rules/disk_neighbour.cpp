// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/rules.h"

#include "base/printable.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace vtrace {
namespace {

// Requests that take less disturb nobody.
constexpr double kLeastMean = 100e3; // ns
constexpr double kSlow = 2e6;

double mean_ns(const Row& row)
{
    return static_cast<double>(row.histogram.mean());
}

// Requests that found no room of their own.
constexpr std::string_view kAnyDisk = "any";

// All others on the disk of a row.
struct Others {
    double device_ns = 0;
    const Row* most = nullptr; // whose requests took most time
};

Others others_on(const Report& report, const Row& row)
{
    Others others;
    for (const Row& other : report.rows) {
        if (&other == &row || label_of(other, "disk") != label_of(row, "disk"))
            continue;
        others.device_ns += value_of(other, "device_time");
        if (others.most == nullptr || label_of(row, "disk") == kAnyDisk ||
            value_of(other, "device_time") > value_of(*others.most, "device_time"))
            others.most = &other;
    }
    return others;
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("iotop");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const Others others = others_on(*report, row);
        if (others.most == nullptr || mean_ns(row) < kLeastMean)
            continue;
        const double own = value_of(row, "device_time");
        // What serves requests in turn lets one wait as long as those of others are there.
        const double of_others = others.device_ns / std::max(1.0, own + others.device_ns);
        const double waits = std::min(1.0, value_of(row, "depth"));
        const double measure = waits * value_of(row, "beside") * of_others;
        auto severity = context.severity_for(row.entity, measure, row.histogram.count());
        if (!severity)
            continue;
        if (mean_ns(row) < kSlow)
            severity = Severity::kP3; // a disk that serves many at once may not be slower for it
        const std::string other = printable(others.most->entity.name);
        Finding finding = context.finding(
            row.entity, *severity,
            {.what =
                 "of the time it had requests there beside those of others, by their part of the disk",
             .value = measure,
             .unit = FigureUnit::kShare,
             .samples = row.histogram.count()},
            *report);
        finding.what = fmt::format(
            "{} waits for {} while it serves others: {} has {} of the time that it spends on requests",
            printable(row.entity.name), printable(label_of(row, "disk")), other,
            percent(value_of(*others.most, "device_time") / std::max(1.0, own + others.device_ns)));
        finding.culprit = others.most->entity;
        finding.culprit->labels.clear();
        finding.evidence.push_back({.what = "its requests took, on average",
                                    .value = mean_ns(row),
                                    .unit = FigureUnit::kTime,
                                    .samples = row.histogram.count()});
        finding.evidence.push_back({.what = "of its requests were there beside those of others",
                                    .value = value_of(row, "beside"),
                                    .unit = FigureUnit::kShare,
                                    .samples = count_of(row, "samples")});
        finding.ruled_out.push_back(
            fmt::format("its own limit: {} of samples", percent(value_of(row, "held"))));
        finding.advice.push_back(
            {.text = "Limit " + other + ", or give this one more weight",
             .knob = "io.max, io.weight (v2), blkio.throttle.*, blkio.bfq.weight (v1)"});
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule disk_neighbour_rule()
{
    return {.name = "disk-neighbour",
            .summary = "a disk is busy with requests of others",
            .measure =
                "share of time with a request that waits for the part that others have of the disk",
            .unit = FigureUnit::kShare,
            .limits = {.p3 = 0.1, .p2 = 0.25, .p1 = 0.5, .p0 = 0.95, .least = 50},
            .source = "own choice: of two with the same load each waits 0.5",
            .tools = {"iotop"},
            .find = find};
}

} // namespace vtrace
