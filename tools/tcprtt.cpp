// SPDX-License-Identifier: GPL-2.0-only
#include "tools/tcprtt.h"

#include "render/tcp_text.h"
#include "tools/report_parts.h"
#include "tools/tcp_rows.h"

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {};
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "tcprtt", "Round trips of TCP, smoothed");
    report.event = "segment";
    report.metric = "rtt";
    add_peers(
        report, snapshot, options,
        [](const TcpFigure& figure) { return figure.round_trip.count() != 0; },
        [](Row& row, const TcpFigure& figure) { row.histogram.merge(figure.round_trip); },
        [](const Row& row) { return static_cast<double>(row.histogram.sum); });
    finish(report, options);
    return report;
}

} // namespace

ToolSpec tcprtt_tool()
{
    return {
        .name = "tcprtt",
        .summary = "round trips of TCP, per container and peer",
        .details =
            "The smoothed round-trip time that the kernel keeps of each TCP connection\n"
            "(srtt, RFC 6298), at each segment that an established connection receives:\n"
            "busy connections count more than idle ones. By the cgroup (container, pod,\n"
            "unit) of the socket, and by peer: --by and --subnet say what tells peers apart.\n"
            "It has the delay of ACKs in it, and on loopback the time of the other process.",
        .examples = "  vtrace tcprtt 10 1                   each cgroup and peer, for 10 s\n"
                    "  vtrace tcprtt --container 5          each container, every 5 s\n"
                    "  vtrace tcprtt --by remote --subnet 24,64 10 1\n"
                    "                                       by network of the other end\n"
                    "  vtrace tcprtt --by local,port 10 1   by own address and service\n",
        .parts = parts,
        .build = build,
        .text = tcprtt_text,
        .tcp = {.round_trips = true},
        .group = "cgroup",
        .peers = true,
        .without_tasks = kSocketsInstead,
        .without_vms = kNoGuestSockets,
    };
}

} // namespace vtrace
