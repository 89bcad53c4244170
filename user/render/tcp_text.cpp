// SPDX-License-Identifier: GPL-2.0-only
#include "render/tcp_text.h"

#include "base/printable.h"
#include "render/blame_text.h"
#include "render/histogram_text.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace vtrace {
namespace {

constexpr size_t kPeers = 10; // shown of each entity

// What a tool says of each entity and each of its peers.
struct Table {
    std::string_view none;                           // where there is nothing to be shown
    std::string (*summary)(const Row& entity);       // behind its name
    std::string heading;                             // of the figures
    std::string (*figures)(const Row& peer);         // of one peer
    std::string (*below)(const Row& peer) = nullptr; // lines under it
};

std::string label_or_dash(const Row& peer, std::string_view kind)
{
    const std::string_view label = label_of(peer, kind);
    return label.empty() ? "-" : std::string(label);
}

std::string quantiles(const Histogram& histogram)
{
    if (histogram.count() == 0)
        return fmt::format("{:>8}{:>8}{:>8}", "-", "-", "-");
    return fmt::format("{:>8}{:>8}{:>8}", format_duration(histogram.quantile(0.5)),
                       format_duration(histogram.quantile(0.99)), format_duration(histogram.max));
}

std::string table_text(const Report& report, const Table& table, const TextStyle& style)
{
    if (report.rows.empty())
        return std::string(table.none) + "\n";
    const size_t width = std::clamp<size_t>(style.width, 72, 160) - columns(table.heading);
    std::string text;
    for (const Row& row : report.rows) {
        text += (text.empty() ? "" : "\n") +
                wrapped(culprit_name(row.entity) + ": " + table.summary(row), style) +
                paint(pad("PEER", width) + table.heading, kBold, style) + "\n";
        for (size_t i = 0; i < std::min(kPeers, row.rows.size()); i++) {
            const Row& peer = row.rows[i];
            text += pad(shorten(printable(peer.entity.name), width - 1, style.utf8), width) +
                    table.figures(peer) + "\n";
            if (table.below != nullptr)
                text += table.below(peer);
        }
        if (row.rows.size() > kPeers)
            text += fmt::format("({} more)\n", row.rows.size() - kPeers);
    }
    if (report.rows_left_out != 0)
        text += fmt::format("\n({} more)\n", report.rows_left_out);
    return text;
}

std::string worst_histogram(const Report& report, const TextStyle& style)
{
    if (report.rows.empty() || report.rows.front().histogram.count() == 0)
        return "";
    const Row& worst = report.rows.front();
    return "\n" + paint(wrapped(culprit_name(worst.entity), style), kBold, style) +
           histogram_rows(worst.histogram, report.metric, style) +
           histogram_summary(worst.histogram);
}

// "3 failed (2 refused, 1 timed out)"
std::string failures(const Row& row)
{
    std::string causes;
    for (uint32_t cause = 0; cause < VT_TCP_CAUSES; cause++) {
        const std::string_view name = failure_name(cause);
        const uint64_t count = count_of(row, name);
        if (count == 0)
            continue;
        std::string words(name);
        std::ranges::replace(words, '_', ' ');
        causes += (causes.empty() ? "" : ", ") + fmt::format("{} {}", count, words);
    }
    return fmt::format("{} failed{}", count_of(row, "failed"),
                       causes.empty() ? "" : " (" + causes + ")");
}

std::string connect_summary(const Row& row)
{
    const uint64_t untimed = count_of(row, "untimed");
    return fmt::format("{} connected out, {} accepted{}, {}", count_of(row, "connected"),
                       count_of(row, "accepted"),
                       untimed == 0 ? "" : fmt::format(" ({} untimed)", untimed), failures(row));
}

std::string connect_figures(const Row& peer)
{
    const bool in = label_or_dash(peer, "side") == "in";
    return fmt::format("{:>5}{:>8}{:>7}", label_or_dash(peer, "side"),
                       format_count(count_of(peer, in ? "accepted" : "connected")),
                       format_count(count_of(peer, "failed"))) +
           quantiles(in ? find_histogram(peer, "accept") : peer.histogram);
}

std::string first_byte(const Row& peer)
{
    const Histogram& histogram = find_histogram(peer, "first_byte");
    const uint64_t none = count_of(peer, "no_first_byte");
    if (histogram.count() == 0 && none == 0)
        return "";
    return fmt::format("  first byte: {} in {} (p50), {} (p99), at most {}; {} without one\n",
                       histogram.count(), format_duration(histogram.quantile(0.5)),
                       format_duration(histogram.quantile(0.99)), format_duration(histogram.max),
                       none);
}

std::string unanswered(const Report& report, const TextStyle& style)
{
    constexpr uint64_t kWorthShowing = 1'000'000;
    constexpr size_t kShown = 5;
    const auto count =
        static_cast<size_t>(std::ranges::count_if(report.connecting, [](const ConnectRow& row) {
            return row.connect.age_ns >= kWorthShowing;
        }));
    if (count == 0)
        return "";
    std::string text = fmt::format("\nnot answered yet, in no figure above: {}\n", count);
    for (size_t i = 0; i < std::min(count, kShown); i++) {
        const ConnectRow& row = report.connecting[i];
        text +=
            wrapped(fmt::format("{:>8}  {}  {} (pid {}) of {}", format_duration(row.connect.age_ns),
                                printable(row.peer.name), printable(row.connect.comm),
                                row.connect.tgid, culprit_name(row.entity)),
                    style);
    }
    if (count > kShown)
        text += fmt::format("          and {} more\n", count - kShown);
    return text;
}

std::string rtt_summary(const Row& row)
{
    return fmt::format("{} segments received, {} at the median",
                       format_count(row.histogram.count()),
                       format_duration(row.histogram.quantile(0.5)));
}

std::string rtt_figures(const Row& peer)
{
    return fmt::format("{:>5}{:>10}{:>8}", label_or_dash(peer, "side"),
                       format_count(peer.histogram.count()),
                       format_duration(peer.histogram.mean())) +
           quantiles(peer.histogram);
}

std::string rate_of(const Row& row)
{
    const auto rate = find_value(row, "rate");
    return rate ? format_share(*rate) : "-";
}

std::string retransmit_summary(const Row& row)
{
    return fmt::format("{} segments sent again, {} of {}", count_of(row, "retransmitted"),
                       rate_of(row), format_count(count_of(row, "sent")));
}

std::string retransmit_figures(const Row& peer)
{
    return fmt::format("{:>5}{:>9}{:>10}{:>9}", label_or_dash(peer, "side"),
                       format_count(count_of(peer, "retransmitted")),
                       format_count(count_of(peer, "sent")), rate_of(peer));
}

std::string retransmit_kinds(const Row& peer)
{
    std::string text;
    for (const Row& kind : peer.rows)
        text += fmt::format("  {:<8} in {:<13}{:>8} segments, {} events\n", kind.entity.name,
                            label_or_dash(kind, "state"), format_count(count_of(kind, "segments")),
                            format_count(count_of(kind, "events")));
    return text;
}

std::string bytes_of(const Row& row, std::string_view name)
{
    return format_bytes(value_of(row, name));
}

std::string life_summary(const Row& row)
{
    return fmt::format("{} sessions ended, {} open, {} sent, {} received",
                       count_of(row, "sessions"), count_of(row, "open_sessions"),
                       bytes_of(row, "bytes_sent"), bytes_of(row, "bytes_received"));
}

std::string life_figures(const Row& peer)
{
    return fmt::format("{:>5}{:>7}{:>6}{:>7}{:>7}{:>6}", label_or_dash(peer, "side"),
                       format_count(count_of(peer, "sessions")),
                       format_count(count_of(peer, "open_sessions")), bytes_of(peer, "bytes_sent"),
                       bytes_of(peer, "bytes_received"),
                       format_count(count_of(peer, "retransmitted"))) +
           (peer.histogram.count() == 0
                ? fmt::format("{:>8}{:>8}", "-", "-")
                : fmt::format("{:>8}{:>8}", format_duration(peer.histogram.quantile(0.5)),
                              format_duration(peer.histogram.max)));
}

std::string with_port(const std::string& address, uint16_t port)
{
    return address.find(':') == std::string::npos ? fmt::format("{}:{}", address, port)
                                                  : fmt::format("[{}]:{}", address, port);
}

} // namespace

std::string tcpconnlat_text(const Report& report, const TextStyle& style)
{
    static const Table table = {
        .none = "no TCP connection came about or failed",
        .summary = connect_summary,
        .heading = fmt::format("{:>5}{:>8}{:>7}{:>8}{:>8}{:>8}", "SIDE", "COUNT", "FAILED", "P50",
                               "P99", "MAX"),
        .figures = connect_figures,
        .below = first_byte,
    };
    return table_text(report, table, style) + worst_histogram(report, style) +
           unanswered(report, style);
}

std::string tcprtt_text(const Report& report, const TextStyle& style)
{
    static const Table table = {
        .none = "no TCP connection received anything",
        .summary = rtt_summary,
        .heading = fmt::format("{:>5}{:>10}{:>8}{:>8}{:>8}{:>8}", "SIDE", "SEGMENTS", "MEAN", "P50",
                               "P99", "MAX"),
        .figures = rtt_figures,
    };
    return table_text(report, table, style) + worst_histogram(report, style);
}

std::string tcpretrans_text(const Report& report, const TextStyle& style)
{
    static const Table table = {
        .none = "TCP sent nothing",
        .summary = retransmit_summary,
        .heading = fmt::format("{:>5}{:>9}{:>10}{:>9}", "SIDE", "AGAIN", "SENT", "RATE"),
        .figures = retransmit_figures,
        .below = retransmit_kinds,
    };
    return table_text(report, table, style);
}

std::string tcplife_text(const Report& report, const TextStyle& style)
{
    static const Table table = {
        .none = "no TCP session was there",
        .summary = life_summary,
        .heading = fmt::format("{:>5}{:>7}{:>6}{:>7}{:>7}{:>6}{:>8}{:>8}", "SIDE", "ENDED", "OPEN",
                               "SENT", "RECVD", "AGAIN", "P50", "MAX"),
        .figures = life_figures,
    };
    return table_text(report, table, style) + worst_histogram(report, style);
}

std::string slow_session_heading(const std::string& kind, const TextStyle& style)
{
    return paint(fmt::format("{:<12} {:>7} {:>6} {:>6} {:>5} {:<4} {}\n", "TIME", "LASTED", "SENT",
                             "RECVD", "AGAIN", "SIDE", "LOCAL, REMOTE, " + heading(kind)),
                 kBold, style);
}

std::string render_text(const SlowSession& session, const Entity& entity, const TextStyle& style)
{
    const TcpVolume& volume = session.volume;
    const std::string task =
        session.tgid == 0 ? "" : fmt::format(" {} ({})", printable(session.comm), session.tgid);
    return fmt::format(
        "{} {:>7} {:>6} {:>6} {:>5} {:<4} {} {} {}{}\n", format_clock(session.end_ns),
        format_duration(session.ns), format_bytes(static_cast<double>(volume.sent)),
        format_bytes(static_cast<double>(volume.received)), format_count(volume.retransmitted),
        side_name(session.side), with_port(session.local, session.local_port),
        with_port(session.remote, session.remote_port),
        shorten(label(entity), style.width, style.utf8), task);
}

} // namespace vtrace
