// SPDX-License-Identifier: GPL-2.0-only
#include "base/printable.h"
#include "diagnose/rules.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

namespace vtrace {
namespace {

constexpr std::string_view kProbe = "probe";
constexpr std::string_view kCongestionControl = "/proc/sys/net/ipv4/tcp_congestion_control";
constexpr uint64_t kLeastSent = 100; // segments

struct KindAdvice {
    std::string_view kind; // retransmit_name()
    std::string_view text;
    std::string_view knob;
};

constexpr auto kAdvice = std::to_array<KindAdvice>({
    {"timeout",
     "Nothing came back for a whole timeout: look for a path, a device or a peer that drops "
     "everything at times (`vtrace netdrop` has what this host drops).",
     ""},
    {"fast",
     "Single segments get lost: a queue on the path is full, or a link damages them. Where it is "
     "not congestion, a congestion control that does not take each loss for it (BBR) keeps the rate.",
     kCongestionControl},
    {"SYN",
     "Peers do not answer: see whether address, port and firewall are right, and whether the "
     "listener's queue overflows there.",
     ""},
    {"SYN-ACK",
     "Clients do not complete their connections: a path that is lost on the way back, or "
     "a flood of SYNs.",
     "/proc/sys/net/ipv4/tcp_syncookies"},
    {"other",
     "They did not get out of this host, or the path's MTU shrank: look at the device's "
     "queue (`vtrace netq`).",
     "tc qdisc"},
});

// Segments sent again, by kind, of all peers.
std::map<std::string, uint64_t, std::less<>> kinds_of(const Row& row)
{
    std::map<std::string, uint64_t, std::less<>> kinds;
    for (const Row& peer : row.rows) {
        for (const Row& kind : peer.rows)
            kinds[kind.entity.name] += count_of(kind, "segments");
    }
    return kinds;
}

// The peer that most of it is with; null if it is spread.
const Row* main_peer(const Row& row)
{
    for (const Row& peer : row.rows) {
        if (2 * value_of(peer, "retransmitted") > value_of(row, "retransmitted"))
            return &peer;
    }
    return nullptr;
}

void add_ruled_out(const Context& context, Finding& finding, uint64_t probes)
{
    finding.ruled_out.push_back(
        fmt::format("tail loss probes, which are sent before anything is known to be lost: {} "
                    "segments, not in it",
                    probes));
    const Report* drops = context.facts.report("netdrop");
    if (drops == nullptr)
        return;
    const Row* own = find_owner(drops->rows, finding.entity);
    uint64_t dropped = 0;
    for (size_t i = 0; own != nullptr && i < own->rows.size(); i++) {
        const Row& drop = own->rows[i];
        if (label_of(drop, "protocol").starts_with("TCP") &&
            label_of(drop, "reason").starts_with("QDISC_"))
            dropped += count_of(drop, "packets");
    }
    if (dropped == 0)
        finding.ruled_out.emplace_back(
            "its own device's queue: no dropped TCP packets that are known to be its own");
    else
        finding.evidence.push_back({.what = "TCP packets that its own device's queue dropped",
                                    .value = static_cast<double>(dropped),
                                    .unit = FigureUnit::kCount});
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("tcpretrans");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const auto kinds = kinds_of(row);
        const auto probe = kinds.find(kProbe);
        const uint64_t probes = probe == kinds.end() ? 0 : probe->second;
        const uint64_t all = count_of(row, "retransmitted");
        const uint64_t lost = all - std::min(all, probes);
        const uint64_t sent = count_of(row, "sent");
        if (sent < kLeastSent)
            continue;
        const double share = std::min(1.0, static_cast<double>(lost) / static_cast<double>(sent));
        const auto severity = context.severity_for(row.entity, share, lost);
        if (!severity)
            continue;
        Finding finding = context.finding(row.entity, *severity,
                                          {.what = "TCP segments sent again, without probes",
                                           .value = share,
                                           .unit = FigureUnit::kShare,
                                           .samples = lost},
                                          *report);
        finding.what = fmt::format("{} sends {} of its TCP segments again",
                                   printable(row.entity.name), percent(share));
        if (const Row* peer = main_peer(row); peer != nullptr) {
            finding.culprit = peer->entity;
            finding.what += fmt::format(", most of them with {}", printable(peer->entity.name));
        }
        std::string_view most;
        for (const auto& [kind, segments] : kinds) {
            if (kind == kProbe || segments == 0)
                continue;
            finding.evidence.push_back({.what = fmt::format("sent again, kind {}", kind),
                                        .value = static_cast<double>(segments),
                                        .unit = FigureUnit::kCount,
                                        .against = static_cast<double>(sent),
                                        .against_what = "segments sent"});
            if (most.empty() || segments > kinds.find(most)->second)
                most = kind;
        }
        add_ruled_out(context, finding, probes);
        for (const KindAdvice& advice : kAdvice) {
            if (advice.kind == most)
                finding.advice.push_back({.text = std::string(advice.text),
                                          .knob = std::string(advice.knob),
                                          .present = context.facts.knob(advice.knob)});
        }
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule net_retransmits_rule()
{
    return {.name = "net-retransmits",
            .summary = "TCP sends much of its data again",
            .measure = "share of the TCP segments sent that were sent again, without probes",
            .unit = FigureUnit::kShare,
            .limits = {.p3 = 0.01, .p2 = 0.03, .p1 = 0.1, .p0 = 0.2, .least = 10},
            .source =
                "P1: OceanBase's alert ob_host_tcp_retrans_percent is critical from 10 %; P0: "
                "PCP's pmieconf rule network.tcp_retransmit, 20 %, which asks for 100 "
                "segments a second, too. P2 is own choice, because transfers with a loss "
                "take five times as long (Flach et al., SIGCOMM 2013)",
            .tools = {"tcpretrans", "netdrop"},
            .find = find};
}

} // namespace vtrace
