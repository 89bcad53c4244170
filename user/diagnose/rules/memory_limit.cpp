// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/memory_stalls.h"
#include "diagnose/rules.h"

#include "base/numbers.h"
#include "base/printable.h"
#include "model/report_values.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace vtrace {
namespace {

constexpr double kPage = 4096; // bytes
constexpr std::array kAtTheLimit = {std::string_view("limit reclaim"),
                                    std::string_view("memory.high")};
// What follows from it: pages that were evicted come back.
constexpr std::array kKinds = {std::string_view("limit reclaim"), std::string_view("memory.high"),
                               std::string_view("thrashing"), std::string_view("swap-in"),
                               std::string_view("major fault")};

double read_bytes(const Facts& facts, const Entity& entity)
{
    double bytes = 0;
    if (const Report* report = facts.report("iotop")) {
        for (const Row& row : report->rows)
            bytes += owner_key(row.entity) == owner_key(entity) ? value_of(row, "read_bytes") : 0;
    }
    return bytes;
}

// Pages of files that had to go, and were read again, are waits for a disk: that part of what was read.
void add_rereading(const Facts& facts, const Row& row, MemoryHeldUp& stalls)
{
    const double again = value_of(row, "refaulted");
    const double read = read_bytes(facts, row.entity);
    const Row* states = states_of(facts, row.entity);
    if (again <= 0 || read <= 0 || states == nullptr)
        return;
    const double ns = value_of(*states, "disk") * std::min(1.0, again / read);
    if (ns > stalls.ns)
        stalls.worst = "reading files again";
    stalls.ns += ns;
    stalls.count += whole_number(again / kPage);
    stalls.share = std::min(1.0, stalls.ns / std::max({busy_ns(*states), stalls.ns, 1.0}));
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("memstall");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const double hits = value_of(row, "limit_hits");
        if (held_up(context.facts, row, kAtTheLimit).count == 0 && hits == 0)
            continue;
        MemoryHeldUp stalls = held_up(context.facts, row, kKinds);
        add_rereading(context.facts, row, stalls);
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
            .tools = {"memstall", "states", "iotop"},
            .find = find};
}

} // namespace vtrace
