// SPDX-License-Identifier: GPL-2.0-only
#include "tools/tcpretrans.h"

#include "model/drops.h"
#include "render/tcp_text.h"
#include "render/text_parts.h"
#include "tools/report_parts.h"
#include "tools/tcp_rows.h"
#include "tools/vm_rows.h"

#include <algorithm>
#include <functional>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {};
}

bool is_wanted(const TcpFigure& figure)
{
    return figure.volume.segments_out != 0 || !figure.again.empty();
}

void add_kind(Row& row, const TcpRetransmits& again)
{
    const Entity entity{.kind = "retransmit",
                        .name = std::string(retransmit_name(again.kind)),
                        .labels = {{"state", tcp_state_name(again.state)}}};
    auto known = std::ranges::find_if(row.rows, [&](const Row& r) {
        return r.entity.name == entity.name && r.entity.labels == entity.labels;
    });
    if (known == row.rows.end())
        known = row.rows.insert(row.rows.end(), Row{.entity = entity});
    add_counter(*known, "segments", "1", again.segments);
    add_counter(*known, "events", "1", again.events);
}

void add_figure(Row& row, const TcpFigure& figure)
{
    uint64_t segments = 0;
    for (const TcpRetransmits& again : figure.again)
        segments += again.segments;
    add_counter(row, "retransmitted", "1", segments);
    add_counter(row, "sent", "1", figure.volume.segments_out);
}

void add_rate(Row& row)
{
    const double sent = value_of(row, "sent");
    if (sent > 0)
        row.metrics.push_back(
            {"rate", Metric::Type::kShare, "1", value_of(row, "retransmitted") / sent});
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "tcpretrans",
                                 "Segments that TCP sent again, by why and in which state");
    report.event = "segment";
    report.nested_again = "kinds";
    add_peers(
        report, snapshot, options, is_wanted,
        [](Row& row, const TcpFigure& figure) {
            add_figure(row, figure);
            if (row.entity.kind != "peer")
                return;
            for (const TcpRetransmits& again : figure.again)
                add_kind(row, again);
        },
        [](const Row& row) { return value_of(row, "retransmitted"); });
    for (Row& row : report.rows) {
        add_rate(row);
        for (Row& peer : row.rows) {
            add_rate(peer);
            std::ranges::stable_sort(peer.rows, std::greater{},
                                     [](const Row& kind) { return value_of(kind, "segments"); });
        }
    }
    finish(report, options);
    return report;
}

} // namespace

ToolSpec tcpretrans_tool()
{
    return {
        .name = "tcpretrans",
        .summary = "what TCP sent again: why, to whom, how much of all",
        .details =
            "Segments that TCP sent again, by the cgroup (container, pod, unit) of the\n"
            "socket, by peer, by why and in which state:\n"
            "  timeout  the retransmission timer went off: nothing came back\n"
            "  fast     duplicate ACKs, SACK or RACK told of a loss\n"
            "  probe    a tail loss probe\n"
            "  SYN      of a connection out that nobody answered\n"
            "  SYN-ACK  of a connection in whose last step did not come\n"
            "  other    after a smaller MTU of the path, local congestion, and what did not\n"
            "           get out of this host\n"
            "Segments, not packets of several: their sum is RetransSegs of /proc/net/snmp.\n"
            "RATE is their share of all segments sent.",
        .examples = "  vtrace tcpretrans 10 1               each cgroup and peer, for 10 s\n"
                    "  vtrace tcpretrans --container 5      each container, every 5 s\n"
                    "  vtrace tcpretrans --by remote --subnet 24 10 1\n"
                    "  vtrace tcpretrans --format json 5 1 | jq '.rows[].peers[].kinds'\n",
        .parts = parts,
        .build = build,
        .text = tcpretrans_text,
        .tcp = {.retransmits = true},
        .group = "cgroup",
        .peers = true,
        .without_tasks = kSocketsInstead,
        .without_vms = kNoGuestSockets,
    };
}

} // namespace vtrace
