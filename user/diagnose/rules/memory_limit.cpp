// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/memory_stalls.h"
#include "diagnose/rules.h"

#include "base/printable.h"
#include "model/report_values.h"
#include "render/units.h"

#include <fmt/format.h>

#include <array>

namespace vtrace {
namespace {

constexpr std::array kAtTheLimit = {std::string_view("limit reclaim"),
                                    std::string_view("memory.high")};
// What follows from it: pages that were evicted come back.
constexpr std::array kKinds = {std::string_view("limit reclaim"), std::string_view("memory.high"),
                               std::string_view("thrashing"), std::string_view("swap-in"),
                               std::string_view("major fault")};

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("memstall");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const double hits = value_of(row, "limit_hits");
        if (held_up(context.facts, row, kAtTheLimit).count == 0 && hits == 0)
            continue;
        const MemoryHeldUp stalls = held_up(context.facts, row, kKinds);
        const auto severity = context.severity_for(row.entity, stalls.share, stalls.count);
        if (!severity)
            continue;
        Finding finding = memory_finding(context, row, *severity, stalls);
        const auto limit = find_value(row, "limit");
        finding.what =
            fmt::format("{} is at its memory limit: its tasks are held up in {} of the time "
                        "that they are busy",
                        printable(row.entity.name), percent(stalls.share));
        finding.culprit = row.entity;
        finding.evidence.push_back(
            {.what = "times that the limit was in the way, as the kernel counts them",
             .value = hits});
        Advice advice{.text = "Raise the limit, or let it use less",
                      .knob = "memory.max, memory.high (v2), memory.limit_in_bytes (v1)"};
        if (limit)
            advice.present = format_bytes(*limit);
        finding.advice.push_back(std::move(advice));
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule memory_limit_rule()
{
    return {.name = "memory-limit",
            .summary = "the own memory limit makes tasks free pages",
            .measure = "of the time that its tasks were busy, held up for memory",
            .unit = FigureUnit::kShare,
            .limits = {.p3 = 0.02, .p2 = 0.1, .p1 = 0.3, .p0 = 0.8, .least = 20},
            .source = "own choice; systemd-oomd acts on 0.6 of PSI (oomd.conf(5), "
                      "DefaultMemoryPressureLimit)",
            .tools = {"memstall", "states"},
            .find = find};
}

} // namespace vtrace
