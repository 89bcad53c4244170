// SPDX-License-Identifier: GPL-2.0-only
#include "render/runqlen_text.h"

#include "base/printable.h"
#include "render/text_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace vtrace {
namespace {

constexpr size_t kFigures = 38; // columns right of the name

std::string name_column(const std::string& name, const TextStyle& style)
{
    const size_t width = std::clamp<size_t>(style.width, 72, 160) - kFigures;
    return pad(shorten(name, width - 1, style.utf8), width);
}

} // namespace

std::string runqlen_text(const Report& report, const TextStyle& style)
{
    if (report.rows.empty())
        return "no task waited in a sample\n";
    std::string text =
        paint(name_column(report.group.empty() ? "CPU" : heading(report.group), style) +
                  fmt::format("{:>8} {:>9} {:>8} {:>9}\n", "LENGTH", "WAITING", "ERROR", "SAMPLES"),
              kBold, style);
    for (const Row& row : report.rows) {
        text += name_column(label(row.entity), style) +
                fmt::format("{:>8.2f} {:>8.1f}% {:>7.1f}% {:>9.0f}\n", value_of(row, "length"),
                            100 * value_of(row, "waiting"), 100 * value_of(row, "error"),
                            value_of(row, "samples"));
    }
    if (report.rows_left_out != 0)
        text += fmt::format("({} more)\n", report.rows_left_out);
    return text;
}

} // namespace vtrace
