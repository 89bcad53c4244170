// SPDX-License-Identifier: GPL-2.0-only
#include "tools/tcpconnlat.h"

#include "entity/entities.h"
#include "render/tcp_text.h"
#include "tools/report_parts.h"
#include "tools/tcp_rows.h"
#include "tools/vm_rows.h"

#include <numeric>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {};
}

uint64_t failures(const TcpFigure& figure)
{
    return std::accumulate(figure.failed.begin(), figure.failed.end(), uint64_t{0});
}

bool is_wanted(const TcpFigure& figure)
{
    return figure.connected != 0 || figure.accepted != 0 || figure.no_first_byte != 0 ||
           figure.first_byte.count() != 0 || failures(figure) != 0;
}

void add_figure(Row& row, const TcpFigure& figure, bool with_first_bytes)
{
    row.histogram.merge(figure.connect);
    histogram_of(row, "accept").merge(figure.accept);
    if (with_first_bytes) {
        histogram_of(row, "first_byte").merge(figure.first_byte);
        add_counter(row, "no_first_byte", "1", figure.no_first_byte);
    }
    add_counter(row, "connected", "1", figure.connected);
    add_counter(row, "accepted", "1", figure.accepted);
    add_counter(row, "untimed", "1", figure.untimed);
    add_counter(row, "failed", "1", failures(figure));
    for (uint32_t cause = 0; cause < figure.failed.size(); cause++)
        add_counter(row, failure_name(cause), "1", figure.failed.at(cause));
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "tcpconnlat", "TCP connections: how long they took");
    report.event = "connection";
    report.metric = "connect";
    add_peers(
        report, snapshot, options, is_wanted,
        [&](Row& row, const TcpFigure& figure) { add_figure(row, figure, options.ttfb); },
        [](const Row& row) {
            return static_cast<double>(row.histogram.sum + row.histograms.front().histogram.sum);
        });
    const Entities entities(snapshot.cgroups, snapshot.entities);
    for (const OpenConnect& open : snapshot.tcp.connecting)
        report.connecting.push_back({entity_of(entities, open.peer.owner, options.group),
                                     peer_entity(open.peer, snapshot.tcp.key), open});
    finish(report, options);
    return report;
}

} // namespace

ToolSpec tcpconnlat_tool()
{
    return {
        .name = "tcpconnlat",
        .summary = "TCP connections: how long, to whom, what failed",
        .details =
            "How long TCP connections took to come about, by the cgroup (container, pod,\n"
            "unit) of the socket, which is that of the task that made it, and by peer.\n"
            "  out  from the SYN to the SYN-ACK: what connect() waits for\n"
            "  in   from the SYN-ACK to its ACK, as the kernel times it: a round trip to the\n"
            "       client; none of a SYN-ACK that was sent again (\"untimed\")\n"
            "  --ttfb  from the SYN to the first byte received, of connections out\n"
            "What failed: refused, timed out, unreachable, reset, not sent (no route or no\n"
            "free port, after the socket began), closed (by its owner, before an answer).\n"
            "connect() that fails before that, for want of a route, is no connection.\n"
            "What nobody has answered yet is listed with its age.",
        .examples = "  vtrace tcpconnlat 10 1               each cgroup and peer, for 10 s\n"
                    "  vtrace tcpconnlat --container 5      each container, every 5 s\n"
                    "  vtrace tcpconnlat --ttfb --cgroup=/docker 5\n"
                    "  vtrace tcpconnlat --by remote --subnet 24 10 1\n"
                    "  vtrace tcpconnlat --format json 5 1 | jq '.rows[].peers'\n",
        .parts = parts,
        .build = build,
        .text = tcpconnlat_text,
        .tcp = {.connects = true},
        .group = "cgroup",
        .flags = {{"--ttfb", "Time the first byte received, too", &ToolOptions::ttfb}},
        .peers = true,
        .without_tasks = kSocketsInstead,
        .without_vms = kNoGuestSockets,
    };
}

} // namespace vtrace
