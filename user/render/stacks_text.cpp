// SPDX-License-Identifier: GPL-2.0-only
#include "render/stacks_text.h"

#include "base/printable.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace vtrace {
namespace {

// Of a row; its stacks have them in the same places.
constexpr size_t kCount = 0;
constexpr size_t kTime = 1;
constexpr size_t kMax = 2;     // of a stack
constexpr size_t kReasons = 2; // of a row: from here on

uint64_t ns_of(const Metric& metric)
{
    return whole_number(metric.value);
}

// The largest ones, as many as fit.
std::string reasons_of(const Row& row, size_t width)
{
    constexpr std::string_view kMore = ", ...";
    std::string text;
    for (size_t i = kReasons; i < row.metrics.size(); i++) {
        const Metric& reason = row.metrics[i];
        const double share = reason.value / std::max(row.metrics[kTime].value, 1.0);
        const std::string part =
            fmt::format("{}{} {}", text.empty() ? "" : ", ", reason.name, format_share(share));
        const bool last = &reason == &row.metrics.back();
        if (columns(text + part) + (last ? 0 : kMore.size()) > width)
            return text + std::string(kMore);
        text += part;
    }
    return text;
}

std::string table(const Report& report, const TextStyle& style)
{
    constexpr size_t kName = 24;
    const size_t width = std::max<size_t>(style.width, 72);
    const size_t room = width - kName - 19;
    std::string text =
        paint(fmt::format("{} {:>7} {:>8}  REASONS\n",
                          pad(heading(report.group.empty() ? "host" : report.group), kName),
                          "TIMES", "TOTAL"),
              kBold, style);
    for (const Row& row : report.rows) {
        text += fmt::format("{} {:>7} {:>8}  {}\n",
                            pad(shorten(label(row.entity), kName, style.utf8), kName),
                            format_count(ns_of(row.metrics[kCount])),
                            format_duration(ns_of(row.metrics[kTime])), reasons_of(row, room));
    }
    if (report.rows_left_out != 0)
        text += fmt::format("({} more)\n", report.rows_left_out);
    return text;
}

std::string frames(const std::vector<std::string>& names, const TextStyle& style)
{
    constexpr size_t kIndent = 8;
    const size_t room = std::max<size_t>(style.width, 72) - kIndent;
    std::string text;
    for (const std::string& name : names)
        text += std::string(kIndent, ' ') + shorten(printable(name), room, style.utf8) + "\n";
    return text;
}

std::string stack_text(const Row& row, const TextStyle& style)
{
    const Stack& stack = *row.stack;
    const std::string head = fmt::format(
        "{:>7} {:>8}  {} in {} (pid {}), {} time{} of at most {}",
        format_share(row.metrics.back().value), format_duration(ns_of(row.metrics[kTime])),
        stack.reason, printable(stack.comm), stack.pid, ns_of(row.metrics[kCount]),
        row.metrics[kCount].value == 1 ? "" : "s", format_duration(ns_of(row.metrics[kMax])));
    std::string text = shorten(head, std::max<size_t>(style.width, 72), style.utf8) + "\n" +
                       frames(stack.kernel, style);
    if (!stack.user.empty())
        text += "        --\n" + frames(stack.user, style);
    return text;
}

std::string open_text(const Report& report)
{
    if (report.open.empty())
        return "";
    std::vector<std::pair<std::string, size_t>> reasons;
    for (const OpenRow& open : report.open) {
        const auto known =
            std::ranges::find(reasons, open.stack->reason, &std::pair<std::string, size_t>::first);
        if (known == reasons.end())
            reasons.emplace_back(open.stack->reason, 1);
        else
            known->second++;
    }
    std::ranges::stable_sort(reasons, std::greater{}, &std::pair<std::string, size_t>::second);
    std::string text;
    for (const auto& [reason, count] : reasons)
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", reason, count);
    return fmt::format("\nstill off the CPU, in no figure above: {} task{} ({})\n",
                       report.open.size(), report.open.size() == 1 ? "" : "s", text);
}

// A frame as one word of a folded line.
std::string folded_frame(std::string_view name)
{
    std::string word = printable(name);
    std::ranges::replace_if(
        word, [](char c) { return c == ';' || c == ' '; }, '_');
    return word;
}

// The outermost first.
std::string folded_frames(const std::vector<std::string>& frames)
{
    std::string text;
    std::for_each(frames.rbegin(), frames.rend(),
                  [&](const std::string& frame) { text += ";" + folded_frame(frame); });
    return text;
}

} // namespace

std::string stacks_text(const Report& report, const TextStyle& style)
{
    constexpr size_t kWorst = 2;
    if (report.rows.empty())
        return "no " + report.event + " ended in this window\n" + open_text(report);
    std::string text = table(report, style);
    for (size_t i = 0; i < std::min(kWorst, report.rows.size()); i++) {
        const Row& row = report.rows[i];
        text += "\n" + paint(wrapped(label(row.entity), style), kBold, style);
        for (const Row& stack : row.rows)
            text += stack_text(stack, style);
    }
    return text + open_text(report);
}

std::string stacks_folded(const Report& report, const TextStyle& /*style*/)
{
    std::string text;
    for (const Row& row : report.rows) {
        for (const Row& line : row.rows) {
            const Stack& stack = *line.stack;
            if (!report.group.empty())
                text += folded_frame(row.entity.name) + ";";
            text += folded_frame(stack.comm);
            text += folded_frames(stack.user) + ";-" + folded_frames(stack.kernel);
            text += fmt::format(" {}\n", ns_of(line.metrics[kTime]));
        }
    }
    return text;
}

} // namespace vtrace
