// SPDX-License-Identifier: GPL-2.0-only
#include "render/memory_text.h"

#include "base/printable.h"
#include "render/blame_text.h"
#include "render/histogram_text.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

namespace vtrace {
namespace {

constexpr size_t kKind = 16;

// "1 stall", "2 stalls"
std::string several(uint64_t count, std::string_view what)
{
    return fmt::format("{} {}{}", format_count(count), what, count == 1 ? "" : "s");
}

std::optional<uint64_t> told(const Row& row, std::string_view name)
{
    const auto value = find_value(row, name);
    return value ? std::optional(whole_number(*value)) : std::nullopt;
}

MemoryCounts counts_of(const Row& row)
{
    return {.reclaimed_bytes = std::nullopt,
            .stalled_ns = told(row, "psi_some"),
            .swapped_in_bytes = told(row, "swapped_in"),
            .refaulted_bytes = told(row, "refaulted"),
            .major_faults = told(row, "major_faults").value_or(0),
            .limit_hits = told(row, "limit_hits").value_or(0),
            .oom_kills = told(row, "oom_kills").value_or(0)};
}

std::string line_of(const Report& report, const Row& row)
{
    const Histogram& time = row.histogram;
    const auto pages = told(row, "pages");
    return pad(row.entity.name, kKind) +
           fmt::format("{:>8}{:>8}{:>8}{:>9}{:>9}{:>9}{:>9}\n", format_count(time.count()),
                       per_second(report, static_cast<double>(time.count())),
                       pages ? format_count(*pages) : "-", format_duration(time.sum),
                       format_duration(time.quantile(0.5)), format_duration(time.quantile(0.99)),
                       format_duration(time.max));
}

std::string block_of(const Report& report, const Row& row, const TextStyle& style)
{
    std::string text = wrapped(fmt::format("{}: held up for {} in {}", culprit_name(row.entity),
                                           format_duration(row.histogram.sum),
                                           several(row.histogram.count(), "stall")),
                               style);
    if (!row.rows.empty())
        text += paint(pad("STALL", kKind) + fmt::format("{:>8}{:>8}{:>8}{:>9}{:>9}{:>9}{:>9}\n",
                                                        "COUNT", "/S", "PAGES", "TIME", "P50",
                                                        "P99", "MAX"),
                      kBold, style);
    for (const Row& inner : row.rows)
        text += line_of(report, inner);
    if (!find_value(row, "major_faults"))
        return text;
    const auto limit = told(row, "limit");
    return text +
           wrapped("the kernel counts: " + counts_text(counts_of(row)) +
                       (limit ? "; its limit is " + format_bytes(static_cast<double>(*limit)) : ""),
                   style);
}

std::string_view why_killed(const OomKill& kill)
{
    const std::string_view who = short_of_memory(kill);
    if (who == "cgroup")
        return "a cgroup's limit";
    return who == "host" ? "the host had no memory left" : "for an unknown reason";
}

std::string kills_text(const Report& report, const TextStyle& style)
{
    constexpr size_t kShown = 10;
    if (report.kills.empty())
        return "";
    std::string text = "\n" + paint("killed for memory\n", kBold, style);
    for (size_t i = 0; i < std::min(report.kills.size(), kShown); i++) {
        const KillRow& row = report.kills[i];
        text += wrapped(fmt::format("{}  {} (pid {}) of {}: {}; {} (pid {}) of {} asked for memory",
                                    format_clock(row.kill.time_ns), printable(row.kill.comm),
                                    row.kill.tgid, culprit_name(row.victim), why_killed(row.kill),
                                    printable(row.kill.cause_comm), row.kill.cause_tgid,
                                    culprit_name(row.cause)),
                        style);
    }
    if (report.kills.size() > kShown)
        text += fmt::format("({} more)\n", report.kills.size() - kShown);
    return text;
}

} // namespace

std::string counts_text(const MemoryCounts& counts)
{
    std::string text = several(counts.major_faults, "major fault");
    const auto add_bytes = [&](const std::optional<uint64_t>& bytes, std::string_view what) {
        if (bytes && *bytes != 0)
            text += fmt::format(", {} {}", format_bytes(static_cast<double>(*bytes)), what);
    };
    add_bytes(counts.swapped_in_bytes, "swapped in");
    add_bytes(counts.refaulted_bytes, "refaulted");
    if (counts.limit_hits != 0)
        text += ", " + several(counts.limit_hits, "time") + " at the limit";
    if (counts.oom_kills != 0)
        text += fmt::format(", {} killed", counts.oom_kills);
    if (counts.stalled_ns)
        text += ", some task waited for " + format_duration(*counts.stalled_ns) + " (PSI)";
    return text;
}

std::string memstall_text(const Report& report, const TextStyle& style)
{
    if (report.rows.empty())
        return "no task was held up for memory\n" + kills_text(report, style);
    std::string text;
    for (const Row& row : report.rows)
        text += (text.empty() ? "" : "\n") + block_of(report, row, style);
    if (report.rows_left_out != 0)
        text += fmt::format("\n({} more)\n", report.rows_left_out);
    const Row& worst = report.rows.front();
    if (worst.histogram.count() != 0)
        text += "\n" + paint(wrapped(culprit_name(worst.entity), style), kBold, style) +
                histogram_rows(worst.histogram, report.metric, style) +
                histogram_summary(worst.histogram);
    return text + kills_text(report, style);
}

} // namespace vtrace
