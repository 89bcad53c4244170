// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/rules.h"

#include "base/printable.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <map>
#include <vector>

namespace vtrace {
namespace {

constexpr double kCertain = 0.99; // the kernel tells of each

Advice advice_for(const KillRow& kill)
{
    if (short_of_memory(kill.kill) == "host")
        return {.text = "Give the host more memory, or limit those that took it",
                .knob = "memory.max (v2), memory.limit_in_bytes (v1) of the others"};
    return {.text = "Raise its memory limit, or find what grows in it",
            .knob = "memory.max (v2), memory.limit_in_bytes (v1)"};
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("memstall");
    if (report == nullptr)
        return;
    std::map<std::string, std::vector<const KillRow*>> by_victim;
    for (const KillRow& kill : report->kills)
        by_victim[key_of(kill.victim)].push_back(&kill);
    for (const auto& [key, kills] : by_victim) {
        const KillRow& last = *kills.back();
        const auto count = static_cast<double>(kills.size());
        const auto severity = context.severity_for(last.victim, count, kills.size());
        if (!severity)
            continue;
        Finding finding = context.finding(last.victim, *severity,
                                          {.what = "processes killed by the kernel for memory",
                                           .value = count,
                                           .samples = kills.size()},
                                          *report);
        finding.confidence = kCertain;
        finding.impact = 1;
        finding.what = fmt::format("the kernel killed {} of {} ({}): memory of the {} was out",
                                   kills.size(), printable(last.victim.name),
                                   printable(last.kill.comm), short_of_memory(last.kill));
        if (short_of_memory(last.kill) != "host") // else whoever happened to ask
            finding.culprit = last.cause;
        finding.advice.push_back(advice_for(last));
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule memory_oom_rule()
{
    return {.name = "memory-oom",
            .summary = "the kernel killed processes, as memory was out",
            .measure = "killed processes",
            .unit = FigureUnit::kCount,
            .limits = {.p3 = 1, .p2 = 1, .p1 = 1, .p0 = 5, .least = 1},
            .source = "own choice: a killed process is an outage of what it did",
            .tools = {"memstall"},
            .find = find};
}

} // namespace vtrace
