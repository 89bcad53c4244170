// SPDX-License-Identifier: GPL-2.0-only
#include "render/text.h"

#include "base/printable.h"
#include "render/blame_text.h"
#include "render/histogram_text.h"
#include "render/stacks_text.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace vtrace {
namespace {

std::string table_row(const std::string& name, const Histogram& h, size_t width,
                      const TextStyle& style)
{
    std::string row = fmt::format("{} {:>6} {:>7} {:>6} {:>6} {:>6} {:>6} ",
                                  pad(shorten(name, width, style.utf8), width),
                                  format_count(h.count()), format_duration(h.sum),
                                  format_duration(h.mean()), format_duration(h.quantile(0.5)),
                                  format_duration(h.quantile(0.99)), format_duration(h.max)) +
                      histogram_spark(h, style);
    row.erase(row.find_last_not_of(' ') + 1);
    return row + "\n";
}

std::string table(const Report& report, const TextStyle& style)
{
    constexpr size_t kFigures = 57; // columns right of the name
    const size_t width = std::clamp<size_t>(style.width, 72, 160) - kFigures;
    std::string text =
        paint(fmt::format("{} {:>6} {:>7} {:>6} {:>6} {:>6} {:>6} {}\n",
                          pad(heading(report.group), width), heading(report.event + "s"), "TOTAL",
                          "MEAN", "P50", "P99", "MAX", kSparkScale),
              kBold, style);
    for (const Row& row : report.rows)
        text += table_row(label(row.entity), row.histogram, width, style);
    if (report.rows_left_out != 0) {
        text += table_row(fmt::format("({} more)", report.rows_left_out), report.left_out, width,
                          style);
    }
    return text;
}

std::string worst_histograms(const Report& report, const TextStyle& style)
{
    constexpr size_t kWorst = 2;
    std::string text;
    for (size_t i = 0; i < std::min(kWorst, report.rows.size()); i++) {
        const Row& row = report.rows[i];
        text += "\n" + paint(wrapped(label(row.entity), style), kBold, style) +
                histogram_rows(row.histogram, report.metric, style) +
                histogram_summary(row.histogram);
    }
    return text;
}

std::string open_waits(const Report& report, const TextStyle& style)
{
    constexpr uint64_t kWorthShowing = 1'000'000; // shorter ones are the normal course of things
    constexpr size_t kShown = 5;
    const auto count = static_cast<size_t>(std::ranges::count_if(
        report.open, [](const OpenRow& r) { return r.wait.wait_ns >= kWorthShowing; }));
    if (count == 0)
        return "";
    std::string text = fmt::format("\nstill waiting, in no figure above: {} task{}\n", count,
                                   count == 1 ? "" : "s");
    for (size_t i = 0; i < std::min(count, kShown); i++) {
        const OpenRow& row = report.open[i];
        // A comm is of 15 bytes: even escaped, and with the tid, it leaves room for an end of the path.
        const std::string task =
            fmt::format("{:>8}  {} (tid {})  ", format_duration(row.wait.wait_ns),
                        shorten(printable(row.wait.comm), 24, style.utf8), row.wait.tid);
        const size_t room = std::max<size_t>(style.width, 60) - columns(task);
        text += task + shorten(label(row.entity), room, style.utf8) + "\n";
        std::string held;
        for (const OpenPartRow& part : row.parts) {
            held += (held.empty() ? "" : ", ") + culprit_name(part.entity) + " " +
                    format_duration(part.ns);
        }
        if (!held.empty()) {
            const std::string line = "          held by " + held;
            text += shorten(line, std::max<size_t>(style.width, 60), style.utf8) + "\n";
        }
    }
    if (count > kShown)
        text += fmt::format("          and {} more\n", count - kShown);
    return text;
}

std::string overhead_text(const Overhead& overhead, uint64_t duration_ns, const TextStyle& style)
{
    std::string text = fmt::format("\n{:<24} {:>12} {:>10} {:>8}\n", "own cost: BPF program",
                                   "runs", "time", "each");
    for (const ProgramCost& p : overhead.programs) {
        const uint64_t each = p.run_cnt == 0 ? 0 : p.run_time_ns / p.run_cnt;
        text += fmt::format("  {:<22} {:>12} {:>10} {:>8}\n", printable(p.name), p.run_cnt,
                            overhead.timed ? format_duration(p.run_time_ns) : "?",
                            overhead.timed ? format_duration(each) : "?");
    }
    const double share = 100.0 * static_cast<double>(overhead.cpu_ns) /
                         static_cast<double>(std::max<uint64_t>(duration_ns, 1));
    return text +
           wrapped(fmt::format("vtrace itself: {} CPU ({:.2f} % of one), {:.1f} MiB, started in {}",
                               format_duration(overhead.cpu_ns), share,
                               static_cast<double>(overhead.rss_bytes) / (1 << 20),
                               format_duration(overhead.startup_ns)),
                   style);
}

} // namespace

std::string histograms_text(const Report& report, const TextStyle& style)
{
    if (report.rows.empty())
        return "no " + report.event + " ended in this window\n";
    if (!report.group.empty())
        return table(report, style) + worst_histograms(report, style);
    const Histogram& histogram = report.rows.front().histogram;
    return histogram_rows(histogram, report.metric, style) + histogram_summary(histogram);
}

std::string ledger_text(const Loss& loss, const TextStyle& style)
{
    std::string text;
    for (const LossCounter& counter : loss_counters()) {
        if (loss.*counter.count != 0) {
            text +=
                wrapped(fmt::format("ledger: {} {}", loss.*counter.count, counter.meaning), style);
        }
    }
    for (const std::string& fallback : loss.fallbacks)
        text += wrapped("fallback: " + printable(fallback), style);
    return text.empty() ? "" : "\n" + paint(std::move(text), kYellow, style);
}

std::string render_text(const Report& report, const TextStyle& style, bool with_overhead,
                        ReportText body)
{
    std::string text;
    if (style.clock)
        text += format_clock(report.start_ns + static_cast<int64_t>(report.duration_ns)) + "\n";
    text += paint(report.title, kBold, style) + "\n" +
            wrapped(fmt::format("in {} on {}", format_duration(report.duration_ns),
                                printable(report.host.name)),
                    style) +
            "\n";
    text += body(report, style);
    if (body != stacks_text)
        text += open_waits(report, style);
    for (const std::string& note : report.notes)
        text += "\n" + wrapped("note: " + note, style);
    text += ledger_text(report.loss, style);
    if (with_overhead)
        text += overhead_text(report.overhead, report.duration_ns, style);
    return text;
}

std::string slow_wait_heading(const std::string& kind, const TextStyle& style)
{
    return paint(fmt::format("{:<12} {:>7} {:<22} {:<22} {}\n", "TIME", "WAIT", "TASK (TID)",
                             "CPU LEFT BY (TID)", heading(kind)),
                 kBold, style);
}

std::string render_text(const SlowWait& wait, const Entity& entity, const TextStyle& style)
{
    constexpr size_t kName = 22;
    const auto task = [&](const std::string& comm, uint32_t tid) {
        const std::string suffix = fmt::format(" ({})", tid);
        const size_t room = kName - std::min(kName, suffix.size());
        return pad(shorten(printable(comm), room, style.utf8) + suffix, kName);
    };
    const std::string previous =
        wait.previous_tid == 0 ? pad("idle", kName) : task(wait.previous_comm, wait.previous_tid);
    return fmt::format("{} {:>7} {} {} {}\n", format_clock(wait.end_ns),
                       format_duration(wait.wait_ns), task(wait.comm, wait.tid), previous,
                       label(entity));
}

} // namespace vtrace
