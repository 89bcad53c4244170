// SPDX-License-Identifier: GPL-2.0-only
#include "render/blame_text.h"

#include "base/printable.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace vtrace {
namespace {

// Columns, by the metrics that are in them.
constexpr std::array<std::pair<std::string_view, std::array<std::string_view, 2>>, 6> kColumns = {{
    {"THROTTLED", {"throttled", ""}},
    {"SELF", {"self", ""}},
    {"NEIGHBOUR", {"neighbour", ""}},
    {"KERNEL", {"kernel", ""}},
    {"OTHER", {"other", "forced_idle"}},
    {"UNKNOWN", {"unknown", ""}},
}};
constexpr size_t kFigures = 8 + 10 + 7 + 10 + 7 + 7 + 8; // columns right of the name

std::string victims(const Report& report, const TextStyle& style)
{
    const size_t width = std::clamp<size_t>(style.width, 72, 160) - kFigures;
    std::string line = pad(heading(report.group), width) + fmt::format("{:>8}", "WAIT");
    for (const auto& [name, metrics] : kColumns)
        line += fmt::format(" {:>{}}", name, std::max<size_t>(name.size(), 6));
    std::string text = paint(line + "\n", kBold, style);
    for (const Row& row : report.rows) {
        double whole = 0;
        for (const Metric& metric : row.metrics)
            whole += metric.value;
        text += pad(shorten(culprit_name(row.entity), width - 1, style.utf8), width) +
                fmt::format("{:>8}", format_duration(row.histogram.sum));
        for (const auto& [name, metrics] : kColumns) {
            const double ns = value_of(row, metrics[0]) + value_of(row, metrics[1]);
            text += fmt::format(" {:>{}}", format_share(whole == 0 ? 0 : ns / whole),
                                std::max<size_t>(name.size(), 6));
        }
        text += "\n";
    }
    if (report.rows_left_out != 0) {
        text += pad(fmt::format("({} more)", report.rows_left_out), width) +
                fmt::format("{:>8}\n", format_duration(report.left_out.sum));
    }
    return text;
}

std::string culprits(const Row& row, const TextStyle& style)
{
    constexpr size_t kShown = 8;
    constexpr size_t kLeft = 50; // columns left of the name
    std::string text = paint(fmt::format("{:>7} {:>8} {:>7} {:>7} {:>7} {:>7}  {}\n", "SHARE",
                                         "TOTAL", "TIMES", "P50", "P99", "MAX", "HELD BY"),
                             kBold, style);
    const size_t width = std::clamp<size_t>(style.width, 72, 160) - kLeft;
    for (size_t i = 0; i < std::min(kShown, row.rows.size()); i++) {
        const Row& culprit = row.rows[i];
        const Histogram& h = culprit.histogram;
        text += fmt::format("{:>7} {:>8} {:>7} {:>7} {:>7} {:>7}  {}\n",
                            format_share(value_of(culprit, "share")), format_duration(h.sum),
                            format_count(h.count()), format_duration(h.quantile(0.5)),
                            format_duration(h.quantile(0.99)), format_duration(h.max),
                            shorten(culprit_name(culprit.entity), width, style.utf8));
    }
    if (row.rows.size() > kShown)
        text += fmt::format("        and {} more, each with less\n", row.rows.size() - kShown);
    return text;
}

} // namespace

std::string culprit_name(const Entity& culprit)
{
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kParts = {{
        {kThrottled, "the own CPU quota (throttled)"},
        {kSelf, "itself"},
        {kNeighbours, "other neighbours"},
        {kIdle, "nobody: idle CPU, woken"},
        {kForcedIdle, "nobody: core scheduling"},
        {kIrq, "interrupts"},
        {kSteal, "the hypervisor above (steal)"},
        {kUnknown, "not known"},
    }};
    if (culprit.kind == "kernel")
        return "kernel: " + printable(culprit.name);
    if (culprit.kind != "part")
        return label(culprit);
    const auto* found = std::ranges::find(kParts, culprit.name,
                                          &std::pair<std::string_view, std::string_view>::first);
    return std::string(found == kParts.end() ? culprit.name : found->second);
}

std::string blame_text(const Report& report, const TextStyle& style)
{
    constexpr size_t kWorst = 3;
    if (report.rows.empty())
        return "no wait ended in this window\n";
    std::string text = victims(report, style);
    for (size_t i = 0; i < std::min(kWorst, report.rows.size()); i++) {
        const Row& row = report.rows[i];
        text += "\n" + paint(wrapped(culprit_name(row.entity), style), kBold, style) +
                culprits(row, style);
    }
    return text;
}

} // namespace vtrace
