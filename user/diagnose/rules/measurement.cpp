// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/rules.h"

#include "base/printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace vtrace {
namespace {

uint64_t events_of(const Report& report)
{
    uint64_t events = report.left_out.count();
    for (const Row& row : report.rows)
        events += row.histogram.count();
    return events;
}

std::string largest_loss(const Loss& loss)
{
    const auto& all = loss_counters();
    const auto largest = std::ranges::max_element(
        all, {}, [&](const LossCounter& counter) { return loss.*counter.count; });
    return fmt::format("{} {}", loss.*largest->count, largest->meaning);
}

void find(const Context& context, std::vector<Finding>& findings)
{
    for (const std::string_view tool : context.rule.tools) {
        const Report* found = context.facts.report(tool);
        if (found == nullptr)
            continue;
        const Report& report = *found;
        // The ledger may be of more than this tool: beside few events it says nothing.
        const uint64_t had = events_of(report);
        if (static_cast<double>(had) < context.limits.least)
            continue;
        const uint64_t lost = lost_events(report.loss);
        const uint64_t events = had + lost;
        const double share =
            static_cast<double>(lost) / static_cast<double>(std::max<uint64_t>(events, 1));
        Entity entity{.kind = "host", .name = report.host.name};
        entity.labels = {{"tool", std::string(tool)}};
        const auto severity = context.severity_for(entity, share, events);
        if (!severity)
            continue;
        Finding finding = context.finding(
            entity, *severity,
            {.what = fmt::format("of the events that {} is made of were lost", tool),
             .value = share,
             .unit = FigureUnit::kShare,
             .samples = events},
            report);
        finding.confidence = confidence_of(events, 0);
        finding.what = fmt::format("vtrace itself has lost {} of what {} is made of: {}",
                                   percent(share), tool, printable(largest_loss(report.loss)));
        finding.advice.push_back(
            {.text = fmt::format("Take less at once: vtrace {} alone, with a target", tool)});
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule measurement_rule()
{
    constexpr double kNever = 2; // it is no bottleneck of the host
    return {
        .name = "measurement",
        .summary = "vtrace itself has lost events: other findings are less sure",
        .measure = "of a tool's events, lost or wrong",
        .unit = FigureUnit::kShare,
        .limits = {.p3 = 0.1, .p2 = kNever, .p1 = kNever, .p0 = kNever, .least = 500},
        .source =
            "own choice: what began before vtrace did is a few percent of a short window on a quiet host",
        .tools = {"blame", "iotop", "memstall"},
        .find = find};
}

} // namespace vtrace
