// SPDX-License-Identifier: GPL-2.0-only
#include "base/printable.h"
#include "diagnose/rules.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace vtrace {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr double kNsPerMs = 1e6;
constexpr double kP50 = 0.5;
constexpr double kP99 = 0.99;
constexpr uint64_t kTarget = 5'000'000; // ns: below it there is no standing queue (RFC 8289)

std::string_view qdisc_of(const Row& device)
{
    return label_of(device, "qdisc");
}

bool is_one_of(std::string_view name, const std::initializer_list<std::string_view>& names)
{
    return std::ranges::find(names, name) != names.end();
}

// Loopback is as fast as its reader: what waits there waits for that one.
bool is_looked_at(const Row& device)
{
    return device.entity.kind == "device" && device.entity.name != "lo" &&
           device.entity.name != "backlog";
}

// The one with the longest waits; null if none has been seen to have as many packets as it takes.
const Row* slowest(const Row& row, double least)
{
    const Row* found = nullptr;
    uint64_t longest = 0;
    for (const Row& device : row.rows) {
        const Histogram& waits = find_histogram(device, "queue");
        const uint64_t p99 = waits.quantile(kP99);
        if (is_looked_at(device) && static_cast<double>(waits.count()) >= least && p99 > longest) {
            found = &device;
            longest = p99;
        }
    }
    return found;
}

// Bursts wait, too, but what comes between them does not; and fq holds packets back to pace them.
Severity capped(Severity severity, const Row& device)
{
    if (qdisc_of(device) == "fq")
        return Severity::kP3;
    const bool standing = find_histogram(device, "queue").quantile(kP50) >= kTarget;
    return standing ? severity : std::max(severity, Severity::kP2);
}

Advice advice_for(const Row& device)
{
    const std::string name = printable(device.entity.name);
    const std::string_view qdisc = qdisc_of(device);
    Advice advice{.knob = fmt::format("tc qdisc dev {}", name), .present = printable(qdisc)};
    if (is_one_of(qdisc, {"tbf", "htb", "hfsc", "netem"})) {
        advice.text = "A limit on the device holds packets back: raise its rate, or send less; a "
                      "shorter limit or fq_codel below it keeps the queue short.";
    } else if (is_one_of(qdisc, {"pfifo_fast", "pfifo", "bfifo", ""})) {
        advice.text = "It sends more than the device takes, and the queue is only as short as its "
                      "limit: fq_codel keeps it short, and lets other flows pass; or lower "
                      "txqueuelen.";
        advice.suggested = "fq_codel";
    } else {
        advice.text = "It sends more than the device takes: send less, spread it over more devices "
                      "or queues, or lower the queue's limit and target.";
    }
    return advice;
}

void add_evidence(Finding& finding, const Row& device)
{
    const Histogram& waits = find_histogram(device, "queue");
    finding.evidence.push_back({.what = "half of the packets in the queue wait longer than",
                                .value = static_cast<double>(waits.quantile(kP50)),
                                .unit = FigureUnit::kTime,
                                .samples = waits.count(),
                                .against = static_cast<double>(kTarget),
                                .against_what = "standing queue from"});
    finding.evidence.push_back({.what = "packets sent",
                                .value = value_of(device, "tx_packets"),
                                .unit = FigureUnit::kCount});
    if (value_of(device, "tx_lost") > 0)
        finding.evidence.push_back({.what = "packets that it dropped on their way out",
                                    .value = value_of(device, "tx_lost"),
                                    .unit = FigureUnit::kCount});
    const Histogram& driver = find_histogram(device, "driver");
    if (driver.count() != 0 && driver.quantile(kP99) < waits.quantile(kP99))
        finding.ruled_out.push_back(fmt::format(
            "its driver: p99 {:.3f} ms", static_cast<double>(driver.quantile(kP99)) / kNsPerMs));
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("netq");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const Row* device = slowest(row, context.limits.least);
        if (device == nullptr)
            continue;
        const Histogram& waits = find_histogram(*device, "queue");
        const auto p99 = static_cast<double>(waits.quantile(kP99));
        const auto severity = context.severity_for(row.entity, p99, waits.count());
        if (!severity)
            continue;
        Finding finding = context.finding(row.entity, capped(*severity, *device),
                                          {.what = "p99 of the waits in the device's queue",
                                           .value = p99,
                                           .unit = FigureUnit::kTime,
                                           .samples = waits.count()},
                                          *report);
        finding.impact = std::min(1.0, p99 / kNsPerSecond);
        finding.what =
            fmt::format("packets wait in the queue of {} of {}, the longest hundredth "
                        "for {:.1f} ms and more",
                        printable(device->entity.name), printable(row.entity.name), p99 / kNsPerMs);
        add_evidence(finding, *device);
        finding.advice.push_back(advice_for(*device));
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule net_queue_rule()
{
    return {.name = "net-queue",
            .summary = "packets wait in a device's queue",
            .measure = "p99 of the time in the queue (qdisc); without a standing queue (median "
                       "below 5 ms) no more than P2, in fq, which paces, P3",
            .unit = FigureUnit::kTime,
            .limits = {.p3 = 5e6, .p2 = 20e6, .p1 = 100e6, .p0 = 500e6, .least = 100},
            .source = "P3 and P1: CoDel's target of 5 ms and its interval of 100 ms, a round trip "
                      "(RFC 8289, tc-codel(8)); P2 and P0 are own choice: four times and five "
                      "times as much",
            .tools = {"netq"},
            .find = find};
}

} // namespace vtrace
