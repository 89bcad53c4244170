// SPDX-License-Identifier: GPL-2.0-only
#include "base/numbers.h"
#include "base/printable.h"
#include "diagnose/rules.h"
#include "diagnose/rules/drop_reasons.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

namespace vtrace {
namespace {

struct Dropped {
    DropReason reason;
    uint64_t packets = 0;
};

// Before 5.17 there is no reason: the function that dropped them stands for it.
std::map<std::string, Dropped, std::less<>> by_reason(const Row& row)
{
    std::map<std::string, Dropped, std::less<>> all;
    for (const Row& drop : row.rows) {
        Dropped& of = all[drop.entity.name];
        of.reason = drop_reason(drop.entity.name, label_of(drop, "protocol"));
        of.packets += count_of(drop, "packets");
    }
    const uint64_t refused = count_of(row, "listen_drops");
    if (refused != 0) { // with those that have a reason
        Dropped& of = all[std::string(kListenOverflow)];
        of.reason = drop_reason(kListenOverflow, "TCP");
        of.packets = std::max(of.packets, refused);
    }
    return all;
}

// Packets that the owner's devices had; none if that is not known.
std::optional<double> packets_of(const Facts& facts, const Entity& entity)
{
    const Report* report = facts.report("netq");
    const Row* row = report == nullptr ? nullptr : find_owner(report->rows, entity);
    if (row == nullptr)
        return std::nullopt;
    double packets = 0;
    for (const Row& device : row->rows) {
        if (device.entity.kind == "device")
            packets += value_of(device, "rx_packets") + value_of(device, "tx_packets");
    }
    return packets;
}

// A rate that is much to one owner is nothing to another, which has a hundred times the packets.
Severity capped(Severity severity, double share)
{
    constexpr double kSome = 0.001;
    constexpr double kMany = 0.005;
    constexpr double kMost = 0.1;
    if (share < kSome)
        return Severity::kP3;
    if (share < kMany)
        return std::max(severity, Severity::kP2);
    return share < kMost ? std::max(severity, Severity::kP1) : severity;
}

constexpr uint64_t kModes = 8; // small numbers are modes, not sizes

Advice advice_for(const Context& context, const DropReason& reason)
{
    Advice advice{.text = std::string(reason.advice),
                  .knob = std::string(reason.knob),
                  .present = context.facts.knob(reason.knob)};
    // Of what has a single number: twice of it is the usual next step.
    if (const auto number = whole_number(std::string_view(advice.present));
        number && *number > kModes)
        advice.suggested = fmt::format("{}, for a start", 2 * *number);
    return advice;
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("netdrop");
    if (report == nullptr)
        return;
    const double seconds = seconds_of(*report);
    for (const Row& row : report->rows) {
        const auto reasons = by_reason(row);
        std::map<DropWeight, uint64_t> packets;
        for (const auto& [name, of] : reasons)
            packets[of.reason.weight] += of.packets;
        const auto rate_of = [&](DropWeight weight) {
            return static_cast<double>(packets[weight]) / seconds;
        };
        DropWeight weight = DropWeight::kFault;
        auto severity = context.severity_for(row.entity, rate_of(weight), packets[weight]);
        if (!severity && packets[DropWeight::kExpected] > 0 &&
            rate_of(DropWeight::kExpected) >= context.limits.p2 &&
            static_cast<double>(packets[DropWeight::kExpected]) >= context.limits.least) {
            weight = DropWeight::kExpected;
            severity = Severity::kP3;
        }
        if (!severity)
            continue;
        const auto lost = static_cast<double>(packets[weight]);
        const auto had = packets_of(context.facts, row.entity);
        const double share = had ? lost / (lost + *had) : 1;
        if (weight == DropWeight::kFault)
            severity = capped(*severity, share);
        const Dropped* main = nullptr;
        for (const auto& [name, of] : reasons) {
            if (of.reason.weight == weight && (main == nullptr || of.packets > main->packets))
                main = &of;
        }
        Finding finding = context.finding(row.entity, *severity,
                                          {.what = "packets lost",
                                           .value = rate_of(weight),
                                           .unit = FigureUnit::kRate,
                                           .samples = packets[weight]},
                                          *report);
        finding.impact = had ? share : 0;
        finding.what = fmt::format("{} loses {:.0f} packets a second, mostly as {}",
                                   printable(row.entity.name), rate_of(weight),
                                   printable(main->reason.meaning));
        if (had)
            finding.evidence.push_back({.what = "of the packets that its devices had",
                                        .value = share,
                                        .unit = FigureUnit::kShare,
                                        .samples = packets[weight]});
        for (const auto& [name, of] : reasons) {
            if (of.reason.weight == weight)
                finding.evidence.push_back({.what = printable(name),
                                            .value = static_cast<double>(of.packets) / seconds,
                                            .unit = FigureUnit::kRate,
                                            .samples = of.packets});
        }
        if (weight == DropWeight::kFault)
            finding.ruled_out.push_back(
                fmt::format("rules, filters and closed ports: {:.1f} packets a second, not in it",
                            rate_of(DropWeight::kExpected)));
        if (main->reason.own)
            finding.culprit = row.entity;
        if (!main->reason.advice.empty())
            finding.advice.push_back(advice_for(context, main->reason));
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule net_drops_rule()
{
    return {.name = "net-drops",
            .summary = "packets are lost in this host",
            .measure = "packets lost in a second that somebody waited for; below 0.1 % of all "
                       "packets no more than P3, below 0.5 % P2, below 10 % P1",
            .unit = FigureUnit::kRate,
            .limits = {.p3 = 1, .p2 = 10, .p1 = 1'000, .p0 = 20'000, .least = 10},
            .source = "P2: CephNodeNetworkPacketDrops of Ceph's mixin warns from 10 packets a "
                      "second and 0.5 % of them; the others are own choice, each far above the "
                      "one before, because the share of the traffic decides",
            .tools = {"netdrop", "netq"},
            .find = find};
}

} // namespace vtrace
