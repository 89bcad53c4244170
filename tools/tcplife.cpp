// SPDX-License-Identifier: GPL-2.0-only
#include "tools/tcplife.h"

#include "render/tcp_text.h"
#include "render/text_parts.h"
#include "tools/report_parts.h"
#include "tools/tcp_rows.h"
#include "tools/vm_rows.h"

#include <algorithm>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {};
}

// A gauge that is a sum over peers.
void add_open(Row& row, uint64_t open)
{
    const auto known = std::ranges::find(row.metrics, "open_sessions", &Metric::name);
    if (known == row.metrics.end())
        row.metrics.push_back(
            {"open_sessions", Metric::Type::kGauge, "1", static_cast<double>(open)});
    else
        known->value += static_cast<double>(open);
}

void add_figure(Row& row, const TcpFigure& figure)
{
    row.histogram.merge(figure.duration);
    add_counter(row, "sessions", "1", figure.sessions);
    add_counter(row, "ages_unknown", "1", figure.ages_unknown);
    add_counter(row, "bytes_sent", "bytes", figure.volume.sent);
    add_counter(row, "bytes_received", "bytes", figure.volume.received);
    add_counter(row, "segments_sent", "1", figure.volume.segments_out);
    add_counter(row, "segments_received", "1", figure.volume.segments_in);
    add_counter(row, "retransmitted", "1", figure.volume.retransmitted);
    add_counter(row, "bytes", "bytes", figure.volume.sent + figure.volume.received);
    add_open(row, figure.open);
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "tcplife", "TCP sessions: how long, how much");
    report.event = "session";
    report.metric = "duration";
    add_peers(
        report, snapshot, options,
        [](const TcpFigure& figure) {
            return figure.sessions != 0 || figure.open != 0 || figure.volume != TcpVolume{};
        },
        add_figure, [](const Row& row) { return value_of(row, "bytes"); });
    finish(report, options);
    return report;
}

} // namespace

ToolSpec tcplife_tool()
{
    return {
        .name = "tcplife",
        .summary = "TCP sessions: with whom, how long, how many bytes",
        .details = "TCP sessions by the cgroup (container, pod, unit) of the socket and by peer:\n"
                   "bytes of payload each way and segments sent again, in the window, of open\n"
                   "sessions as well; how long those lasted that ended, from ESTABLISHED to CLOSE\n"
                   "(TIME-WAIT is not counted in). Sessions from before vtrace have no known age.\n"
                   "All is what the kernel counts in each socket: nothing is done per packet.",
        .examples = "  vtrace tcplife 10 1                  each cgroup and peer, for 10 s\n"
                    "  vtrace tcplife --container 5         each container, every 5 s\n"
                    "  vtrace tcplife --slower 1000         each session above 1 s as it ends\n"
                    "  vtrace tcplife --by port 10 1        by service\n",
        .parts = parts,
        .build = build,
        .text = tcplife_text,
        .tcp = {.sessions = true},
        .group = "cgroup",
        .single_sessions = true,
        .peers = true,
        .without_tasks = kSocketsInstead,
        .without_vms = kNoGuestSockets,
    };
}

} // namespace vtrace
