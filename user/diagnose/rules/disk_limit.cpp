// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/rules.h"

#include "base/printable.h"
#include "model/report_values.h"
#include "render/units.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

namespace vtrace {
namespace {

constexpr std::array kLimits = {
    std::pair("limit_read_bytes", "rbps"), std::pair("limit_write_bytes", "wbps"),
    std::pair("limit_reads", "riops"), std::pair("limit_writes", "wiops")};

std::string limits_of(const Row& row)
{
    std::string text;
    for (const auto& [metric, name] : kLimits) {
        const auto value = find_value(row, metric);
        if (!value)
            continue;
        const bool bytes = std::string_view(name).ends_with("bps");
        text += fmt::format("{}{}={}", text.empty() ? "" : " ", name,
                            bytes ? format_bytes(*value) : format_count(whole_number(*value)));
    }
    return text;
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("iotop");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const double held = value_of(row, "held");
        const uint64_t samples = count_of(row, "samples");
        const auto severity = context.severity_for(row.entity, held, samples);
        if (!severity)
            continue;
        const std::string disk = printable(label_of(row, "disk"));
        Finding finding = context.finding(row.entity, *severity,
                                          {.what = "samples in which its limit held I/O back",
                                           .value = held,
                                           .unit = FigureUnit::kShare,
                                           .samples = samples},
                                          *report);
        finding.what = fmt::format("{} is held back by its own I/O limit on {} in {} of the time",
                                   printable(row.entity.name), disk, percent(held));
        finding.culprit = row.entity;
        finding.evidence.push_back(
            {.what = "it read", .value = value_of(row, "read_bytes"), .unit = FigureUnit::kBytes});
        finding.evidence.push_back({.what = "it wrote",
                                    .value = value_of(row, "write_bytes"),
                                    .unit = FigureUnit::kBytes});
        finding.ruled_out.push_back(fmt::format("{} itself: requests took {} there on average",
                                                disk, format_duration(row.histogram.mean())));
        finding.advice.push_back(
            {.text = "Raise the limit, or do less I/O; what it would do without one "
                     "cannot be told from here",
             .knob = "io.max (v2), blkio.throttle.* (v1)",
             .present = limits_of(row)});
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule disk_limit_rule()
{
    return {.name = "disk-limit",
            .summary = "the own I/O limit holds requests back",
            .measure = "share of samples in which I/O waited for its limit",
            .unit = FigureUnit::kShare,
            .limits = {.p3 = 0.05, .p2 = 0.2, .p1 = 0.5, .p0 = 0.95, .least = 50},
            .source = "own choice; Documentation/admin-guide/cgroup-v2.rst (io.max)",
            .tools = {"iotop"},
            .find = find};
}

} // namespace vtrace
