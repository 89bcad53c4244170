// SPDX-License-Identifier: GPL-2.0-only
#include "render/throttle_text.h"

#include "base/printable.h"
#include "render/histogram_text.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

namespace vtrace {
namespace {

constexpr size_t kFigures = 61; // columns right of the name

std::string name_column(const std::string& name, const TextStyle& style)
{
    const size_t width = std::clamp<size_t>(style.width, 72, 160) - kFigures;
    return pad(shorten(name, width - 1, style.utf8), width);
}

std::string waits(const Histogram& h)
{
    if (h.count() == 0)
        return fmt::format(" {:>6} {:>6} {:>6}\n", "0", "-", "-");
    return fmt::format(" {:>6} {:>6} {:>6}\n", format_count(h.count()),
                       format_duration(h.quantile(0.5)), format_duration(h.max));
}

std::string quota_row(const Row& row, const TextStyle& style)
{
    const auto quota = find_value(row, "quota");
    const uint64_t periods = count_of(row, "periods");
    const double share = 100 * value_of(row, "throttled_share");
    return name_column(label(row.entity), style) +
           fmt::format("{:>6} {:>7} {:>7} {:>7} {:>9}",
                       quota ? fmt::format("{:.3g}", *quota / value_of(row, "period")) : "none",
                       quota ? format_duration(count_of(row, "period")) : "-",
                       format_count(periods), periods == 0 ? "-" : fmt::format("{:.1f}%", share),
                       format_duration(count_of(row, "throttled_time"))) +
           waits(row.histogram);
}

std::string burst_line(const Row& row)
{
    const uint64_t burst = count_of(row, "burst");
    const uint64_t bursts = count_of(row, "bursts");
    if (burst == 0 && bursts == 0)
        return "";
    return fmt::format("  burst of {}: used in {} period{}, {} in all\n", format_duration(burst),
                       format_count(bursts), bursts == 1 ? "" : "s",
                       format_duration(count_of(row, "burst_time")));
}

std::string heirs(const Row& row, const TextStyle& style)
{
    constexpr size_t kShown = 5;
    std::string text;
    for (size_t i = 0; i < std::min(kShown, row.rows.size()); i++) {
        const Row& heir = row.rows[i];
        text += name_column("  " + label(heir.entity), style) +
                fmt::format("{:<40}", "  inherited") + waits(heir.histogram);
    }
    if (row.rows.size() > kShown)
        text += fmt::format("  and {} more that inherit it\n", row.rows.size() - kShown);
    return text;
}

} // namespace

std::string throttle_text(const Report& report, const TextStyle& style)
{
    if (report.rows.empty())
        return "no cgroup here has a CPU quota\n";
    std::string text =
        paint(name_column(heading(report.group), style) +
                  fmt::format("{:>6} {:>7} {:>7} {:>7} {:>9} {:>6} {:>6} {:>6}\n", "CPUS", "PERIOD",
                              "PERIODS", "RAN OUT", "THROTTLED", "WAITS", "P50", "MAX"),
              kBold, style);
    for (const Row& row : report.rows)
        text += quota_row(row, style) + burst_line(row) + heirs(row, style);
    if (report.rows_left_out != 0) {
        text += name_column(fmt::format("({} more)", report.rows_left_out), style) +
                std::string(40, ' ') + waits(report.left_out);
    }
    const Row& worst = report.rows.front();
    if (worst.histogram.count() != 0) {
        text += "\n" +
                paint(wrapped(label(worst.entity) + ": throttled for, of each wait", style), kBold,
                      style) +
                histogram_rows(worst.histogram, "throttled", style) +
                histogram_summary(worst.histogram);
    }
    return text;
}

} // namespace vtrace
