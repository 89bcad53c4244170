// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/memory_stalls.h"
#include "diagnose/rules.h"

#include "base/printable.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <array>

namespace vtrace {
namespace {

constexpr std::array kShortHost = {std::string_view("reclaim")};
constexpr std::array kKinds = {std::string_view("reclaim"), std::string_view("compaction"),
                               std::string_view("swap-in")};
constexpr const char* kSwappiness = "/proc/sys/vm/swappiness";
constexpr const char* kReserve = "/proc/sys/vm/min_free_kbytes";

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("memstall");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        if (held_up(context.facts, row, kShortHost).count == 0)
            continue;
        // At its own limit, too: what it swaps in may be of that.
        const bool limited = value_of(row, "limit_hits") > 0;
        const MemoryHeldUp stalls =
            limited ? held_up(context.facts, row, kShortHost) : held_up(context.facts, row, kKinds);
        const auto severity = context.severity_for(row.entity, stalls.share, stalls.count);
        if (!severity)
            continue;
        Finding finding = memory_finding(context, row, *severity, stalls);
        finding.what =
            fmt::format("the host is short of memory: tasks of {} are held up in {} of the time "
                        "that they are busy",
                        printable(row.entity.name), percent(stalls.share));
        finding.advice.push_back(
            {.text = "Take memory from whom it helps most (vtrace memstall), or add "
                     "some; protect this one",
             .knob = "memory.low (v2) of it, memory limits of the others"});
        for (const char* file : {kSwappiness, kReserve}) {
            std::string value = context.facts.knob(file);
            if (!value.empty())
                finding.advice.push_back(
                    {.text = "Also in the way of it", .knob = file, .present = value});
        }
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule memory_host_rule()
{
    return {.name = "memory-host",
            .summary = "the host is short of memory: reclaim, compaction, swap",
            .measure = "of the time that its tasks were busy, held up for memory",
            .unit = FigureUnit::kShare,
            .limits = {.p3 = 0.02, .p2 = 0.1, .p1 = 0.3, .p0 = 0.8, .least = 20},
            .source = "own choice, as of memory-limit",
            .tools = {"memstall", "states"},
            .find = find};
}

} // namespace vtrace
