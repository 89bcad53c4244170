// SPDX-License-Identifier: GPL-2.0-only
#include "tools/blame.h"

#include "render/blame_text.h"
#include "tools/report_parts.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {.waits = true, .throttling = true, .blame = true};
}

// The parts that a victim's wait is split into, in JSON's order.
constexpr std::array<std::string_view, 7> kClasses = {"throttled",   "self",  "neighbour", "kernel",
                                                      "forced_idle", "other", "unknown"};

std::string_view class_of(const OwnerTime& time, const Entity& culprit)
{
    if (time.about == kNeighbour && culprit.kind == "kernel")
        return "kernel";
    if (time.about == kIrq)
        return "kernel";
    if (time.about == kNeighbours)
        return "neighbour";
    if (time.about == kIdle || time.about == kSteal)
        return "other";
    return time.about;
}

// What is in none of the kind is called by its cgroup: "not in a container" is no culprit.
Entity culprit_of(const Entities& entities, const OwnerTime& time, const std::string& kind)
{
    if (time.about != kNeighbour)
        return {.kind = "part", .name = time.about};
    Entity culprit = entity_of(entities, time.culprit, kind);
    return culprit.kind == "host" ? entity_of(entities, time.culprit, "cgroup") : culprit;
}

// One victim while its parts are put together.
struct Victim {
    size_t row;
    std::map<std::string, size_t> culprits;
    std::map<std::string_view, uint64_t> classes;
};

void add_part(Row& row, Victim& victim, const OwnerTime& time, Entity culprit)
{
    std::string_view part = class_of(time, culprit);
    if (part == kNeighbour && key_of(culprit) == key_of(row.entity)) {
        part = kSelf;
        culprit = {.kind = "part", .name = std::string(kSelf)};
    }
    victim.classes[part] += time.time.sum;
    const auto [at, is_new] = victim.culprits.try_emplace(key_of(culprit), row.rows.size());
    if (is_new)
        row.rows.push_back({.entity = std::move(culprit), .histogram = time.time});
    else
        row.rows[at->second].histogram.merge(time.time);
}

void complete(Row& row, Victim& victim)
{
    const uint64_t wait = row.histogram.sum;
    uint64_t known = 0;
    for (const auto& [name, ns] : victim.classes)
        known += ns;
    victim.classes[kUnknown] += wait - std::min(wait, known);
    const uint64_t whole = std::max(std::max(wait, known), uint64_t{1});
    for (const std::string_view name : kClasses) {
        row.metrics.push_back({.name = std::string(name),
                               .unit = "ns",
                               .value = static_cast<double>(victim.classes[name])});
    }
    for (Row& culprit : row.rows) {
        culprit.metrics.push_back(
            {.name = "share",
             .type = Metric::Type::kShare,
             .unit = "1",
             .value = static_cast<double>(culprit.histogram.sum) / static_cast<double>(whole)});
    }
    std::ranges::stable_sort(row.rows, std::greater{},
                             [](const Row& r) { return r.histogram.sum; });
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report =
        empty_report(snapshot, "blame", "Wait for a CPU, by what held that CPU meanwhile");
    const std::string kind = options.wait_kind();
    report.metric = kWait;
    report.group = kind;
    report.nested = "culprits";
    const Entities entities(snapshot.cgroups, snapshot.entities);
    add_histograms(report, snapshot, entities, kWait, true);
    std::map<std::string, Victim> victims;
    for (size_t i = 0; i < report.rows.size(); i++)
        victims[key_of(report.rows[i].entity)] = {.row = i, .culprits = {}, .classes = {}};
    for (const OwnerTime& time : snapshot.sched.times) {
        if (!is_part_of_wait(time.about))
            continue;
        const auto victim = victims.find(key_of(entity_of(entities, time.owner, kind)));
        if (victim == victims.end())
            continue; // its wait is in the next report
        add_part(report.rows[victim->second.row], victim->second, time,
                 culprit_of(entities, time, kind));
    }
    for (auto& [key, victim] : victims)
        complete(report.rows[victim.row], victim);
    add_open(report, snapshot, entities, kind, true);
    finish(report, options);
    return report;
}

} // namespace

ToolSpec blame_tool()
{
    return {
        .name = "blame",
        .summary = "who made tasks wait for a CPU, per VM or container",
        .details =
            "Splits each wait for a CPU by what that CPU did meanwhile: the own CPU quota was\n"
            "used up (throttled), others of the same owner ran (self), another owner ran\n"
            "(neighbour), the kernel's own threads or interrupts ran (kernel), or something else\n"
            "(other: the idle CPU was being woken, or the hypervisor above took it). What cannot\n"
            "be told is unknown: on a CPU the last 64 changes of owner are remembered.\n"
            "Time in interrupts is told apart where the kernel counts it\n"
            "(CONFIG_IRQ_TIME_ACCOUNTING), else it is of whom they interrupted; steal likewise\n"
            "(CONFIG_PARAVIRT_TIME_ACCOUNTING).",
        .examples = "  vtrace blame 5 1                     every cgroup that waited, for 5 s\n"
                    "  vtrace blame --container 5 1         per container\n"
                    "  vtrace blame --vm=db-1 5 1           who takes CPU time from one VM\n"
                    "  vtrace blame --format json 5 1 | jq '.rows[0].culprits[0].entity.name'\n",
        .parts = parts,
        .build = build,
        .text = blame_text,
        .group = "cgroup",
    };
}

} // namespace vtrace
