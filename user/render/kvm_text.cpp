// SPDX-License-Identifier: GPL-2.0-only
#include "render/kvm_text.h"

#include "base/printable.h"
#include "render/histogram_text.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace vtrace {
namespace {

constexpr size_t kRowsOfOne = 20; // of one VM
constexpr double kNsPerSecond = 1e9;

std::string whole(double count)
{
    return format_count(static_cast<uint64_t>(count));
}

std::string per_second(const Report& report, double count)
{
    const double seconds = static_cast<double>(report.duration_ns) / kNsPerSecond;
    return format_count(static_cast<uint64_t>(count / std::max(seconds, 1e-9) + 0.5));
}

std::string time_of(const Row& row, std::string_view name)
{
    const auto value = find_value(row, name);
    return value ? format_duration(static_cast<uint64_t>(*value)) : "-";
}

std::string_view parent_of(const Row& row, std::string_view kind)
{
    for (const EntityName& parent : row.entity.parents) {
        if (parent.kind == kind)
            return parent.name;
    }
    return {};
}

// "3" of "vcpu 3"; what is not numbered by its name.
std::string short_role(std::string_view role)
{
    constexpr std::string_view kVcpu = "vcpu ";
    return printable(role.starts_with(kVcpu) ? role.substr(kVcpu.size()) : role);
}

// One line for each VM, and the table of its rows; `line` makes one of a row.
template <typename Summary, typename Line>
std::string tables(const Report& report, const TextStyle& style, std::string_view nothing,
                   const std::string& heading, Summary summary, Line line)
{
    if (report.rows.empty())
        return std::string(nothing) + "\n";
    std::string text;
    for (const Row& row : report.rows) {
        text +=
            (text.empty() ? "" : "\n") + wrapped(label(row.entity) + ": " + summary(row), style);
        if (row.rows.empty())
            continue;
        text += paint(heading + "\n", kBold, style);
        const size_t shown = std::min(row.rows.size(), kRowsOfOne);
        for (size_t i = 0; i < shown; i++)
            text += line(row.rows[i]) + "\n";
        if (shown != row.rows.size())
            text += fmt::format("({} more)\n", row.rows.size() - shown);
    }
    if (report.rows_left_out != 0)
        text += fmt::format("({} more)\n", report.rows_left_out);
    return text;
}

constexpr size_t kRoleColumn = 5;

std::string role_column(const Row& row, const TextStyle& style)
{
    return pad(shorten(short_role(parent_of(row, "vcpu")), kRoleColumn - 1, style.utf8),
               kRoleColumn);
}

// What is left of the width for a name beside `figures` columns.
size_t name_width(const TextStyle& style, size_t figures)
{
    return std::clamp<size_t>(style.width, 76, 120) - figures;
}

} // namespace

std::string kvmexit_text(const Report& report, const TextStyle& style)
{
    // Without KVM's exits there are counts only.
    const bool divided = std::ranges::any_of(
        report.rows, [](const Row& row) { return find_value(row, "kernel").has_value(); });
    const size_t width = std::min<size_t>(name_width(style, divided ? 61 : 19), 40);
    std::string heading =
        pad("VCPU", kRoleColumn) + pad("REASON", width) + fmt::format("{:>7}{:>7}", "COUNT", "/S");
    if (divided)
        heading += fmt::format("{:>7}{:>7}{:>7}{:>7}{:>8}{:>7}", "P50", "P99", "KERNEL", "VMM",
                               "BLOCKED", "WAITED");
    const auto summary = [&](const Row& row) {
        const double count = value_of(row, "count");
        if (!divided)
            return fmt::format("{} times to the VMM, {} halts", whole(value_of(row, "to_vmm")),
                               whole(value_of(row, "halts")));
        return fmt::format(
            "{} exits ({} a second, {} to the VMM) took {}; halted {}, in the guest {}",
            whole(count), per_second(report, count), whole(value_of(row, "to_vmm")),
            format_duration(row.histogram.sum), time_of(row, "halted"), time_of(row, "guest"));
    };
    const auto line = [&](const Row& row) {
        const double count = value_of(row, "count");
        std::string text = role_column(row, style) +
                           pad(shorten(row.entity.name, width - 1, style.utf8), width) +
                           fmt::format("{:>7}{:>7}", whole(count), per_second(report, count));
        if (divided)
            text += fmt::format(
                "{:>7}{:>7}{:>7}{:>7}{:>8}{:>7}", format_duration(row.histogram.quantile(0.5)),
                format_duration(row.histogram.quantile(0.99)), time_of(row, "kernel"),
                time_of(row, "vmm"), time_of(row, "blocked"), time_of(row, "waited"));
        return text;
    };
    std::string text = tables(report, style, "no vCPU left its guest", heading, summary, line);
    if (divided && report.rows.front().histogram.count() != 0) {
        const Row& worst = report.rows.front();
        text += "\n" + wrapped("exits of " + label(worst.entity) + ", but for halts:", style) +
                histogram_rows(worst.histogram, report.metric, style) +
                histogram_summary(worst.histogram);
    }
    return text;
}

} // namespace vtrace
