// SPDX-License-Identifier: GPL-2.0-only
#include "tools/memstall.h"

#include "entity/entities.h"
#include "render/memory_text.h"
#include "tools/report_parts.h"
#include "tools/vm_rows.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {};
}

// What an entity's tasks were held up by.
struct Stalled {
    Entity entity;
    std::map<uint32_t, MemoryStalls> kinds;
};

using AllStalled = std::map<std::string, Stalled>; // by key_of()

void add_gauge(Row& row, const char* name, const std::optional<uint64_t>& bytes)
{
    if (bytes)
        row.metrics.push_back({name, Metric::Type::kGauge, "bytes", static_cast<double>(*bytes)});
}

void add_told(Row& row, const char* name, const char* unit, const std::optional<uint64_t>& value)
{
    if (value)
        add_counter(row, name, unit, *value);
}

// What the kernel itself counts of the entity's cgroup and all below it.
void add_counts(Row& row, const MemoryCounts& counts)
{
    add_told(row, "psi_some", "ns", counts.stalled_ns);
    add_counter(row, "major_faults", "1", counts.major_faults);
    add_told(row, "swapped_in", "bytes", counts.swapped_in_bytes);
    add_told(row, "refaulted", "bytes", counts.refaulted_bytes);
    add_counter(row, "limit_hits", "1", counts.limit_hits);
    add_counter(row, "oom_kills", "1", counts.oom_kills);
}

Row row_of(const Stalled& stalled, const MemorySnapshot& memory)
{
    Row row{.entity = stalled.entity};
    for (const auto& [kind, stalls] : stalled.kinds) {
        row.histogram.merge(stalls.time);
        Row& inner = row.rows.emplace_back(
            Row{.entity = {.kind = "stall", .name = std::string(stall_name(kind))},
                .histogram = stalls.time});
        if (kind == VT_MEM_RECLAIM || kind == VT_MEM_LIMIT)
            add_counter(inner, "pages", "1", stalls.pages);
    }
    std::ranges::stable_sort(row.rows, std::greater{},
                             [](const Row& r) { return r.histogram.sum; });
    const auto counts =
        std::ranges::find(memory.cgroups, row.entity.id, &CgroupMemoryCounts::cgroup_id);
    // A cgroup may have several VMs.
    if (counts != memory.cgroups.end() && row.entity.id != 0 && row.entity.kind != "vm") {
        add_counts(row, counts->counts);
        add_gauge(row, "limit", counts->limit_bytes);
    }
    return row;
}

void add_stalls(Stalled& stalled, const MemoryStalls& stalls)
{
    MemoryStalls& sum = stalled.kinds[stalls.kind];
    sum.pages += stalls.pages;
    sum.time.merge(stalls.time);
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "memstall", "What tasks were held up by for memory");
    report.event = "stall";
    report.metric = "stall";
    report.nested = "kinds";
    report.group = options.group;
    const MemorySnapshot& memory = snapshot.memory;
    const Entities entities(snapshot.cgroups, snapshot.entities);
    AllStalled all;
    for (const MemoryStalls& stalls : memory.stalls) {
        Entity entity = entity_of(entities, stalls.owner, options.group);
        Stalled& stalled = all[key_of(entity)];
        stalled.entity = std::move(entity);
        add_stalls(stalled, stalls);
    }
    for (const OomKill& kill : memory.kills) {
        Entity victim = entity_of(entities, kill.victim, options.group);
        Stalled& stalled = all[key_of(victim)];
        stalled.entity = std::move(victim);
    }
    for (const auto& [key, stalled] : all)
        report.rows.push_back(row_of(stalled, memory));
    std::ranges::stable_sort(report.rows, std::greater{},
                             [](const Row& row) { return row.histogram.sum; });
    for (const OpenStall& open : memory.open) {
        OpenRow row{.entity = entity_of(entities, open.owner, options.group),
                    .wait = {.wait_ns = open.age_ns,
                             .cgroup_id = open.owner.cgroup_id,
                             .vm = open.owner.vm,
                             .tid = open.tid,
                             .tgid = open.tgid,
                             .comm = open.comm}};
        row.parts.push_back(
            {{.kind = "part", .name = std::string(stall_name(open.kind))}, open.age_ns});
        report.open.push_back(std::move(row));
    }
    for (const OomKill& kill : memory.kills)
        report.kills.push_back({entity_of(entities, kill.victim, options.group),
                                entity_of(entities, kill.cause, options.group), kill});
    report.notes.push_back("of the whole host the kernel counts: " + counts_text(memory.host));
    finish(report, options);
    return report;
}

} // namespace

ToolSpec memstall_tool()
{
    return {
        .name = "memstall",
        .summary = "reclaim, limits, swap-ins, OOM kills: who, how long",
        .details =
            "What tasks did to get memory in place of their work, by the cgroup (container,\n"
            "pod, unit, VM) that they are in:\n"
            "  reclaim        freed pages, as the host was short of memory\n"
            "  limit reclaim  freed pages, as its cgroup, or one above, was at its limit, or it\n"
            "                 had one give some back (memory.reclaim, a smaller limit)\n"
            "  memory.high    slept, as its cgroup was above memory.high\n"
            "  compaction     moved pages, as none were free in a row\n"
            "  swap-in        waited for a page from swap\n"
            "  major fault    waited for a page of a file, in a page fault\n"
            "  thrashing      waited for a page of a file that had been evicted too early\n"
            "The waits last until the task ran again. Below are the kernel's own counts of the\n"
            "cgroup and all below it (limit hits and kills on v1: of itself): PSI is the time\n"
            "in which some task did any of this, without waits for pages that had been out for\n"
            "long. Of a VM there are none: they are those of its cgroup.",
        .examples = "  vtrace memstall 10 1                 each cgroup, for 10 s\n"
                    "  vtrace memstall --container 5        each container, every 5 s\n"
                    "  vtrace memstall --cgroup=/docker --format json 5 1 | jq '.rows[].kinds'\n"
                    "  vtrace memstall --format json 60 | jq '.kills[]?'\n",
        .parts = parts,
        .build = build,
        .text = memstall_text,
        .memory = true,
        .group = "cgroup",
    };
}

} // namespace vtrace
