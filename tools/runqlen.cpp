// SPDX-License-Identifier: GPL-2.0-only
#include "tools/runqlen.h"

#include "render/runqlen_text.h"
#include "tools/report_parts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {.queues = true};
}

// What was seen of one row.
struct Seen {
    double length = 0;  // mean, of all CPUs together
    double waiting = 0; // share of samples that any waited in, of the CPU with the most
    double samples = 0; // that the share is of
    uint64_t longest = 0;
};

std::vector<Metric> metrics_of(const Seen& seen)
{
    // 95 % of samples at random moments are as close as this; none seen is not quite none.
    const double n = std::max(seen.samples, 1.0);
    const double error = std::max(1.96 * std::sqrt(seen.waiting * (1 - seen.waiting) / n), 1 / n);
    const auto gauge = [](std::string name, double value) {
        return Metric{
            .name = std::move(name), .type = Metric::Type::kGauge, .unit = "1", .value = value};
    };
    return {gauge("length", seen.length),
            {.name = "waiting", .type = Metric::Type::kShare, .unit = "1", .value = seen.waiting},
            {.name = "error", .type = Metric::Type::kShare, .unit = "1", .value = error},
            {.name = "samples", .unit = "1", .value = seen.samples}};
}

void add_cpus(Report& report, const Snapshot& snapshot)
{
    for (const RunqCpu& cpu : snapshot.runq.cpus) {
        Seen seen{.samples = static_cast<double>(cpu.samples)};
        seen.length = static_cast<double>(cpu.sum) / std::max(seen.samples, 1.0);
        uint64_t waiting = 0;
        for (const auto& [length, count] : cpu.lengths) {
            waiting += length == 0 ? 0 : count;
            seen.longest = std::max<uint64_t>(seen.longest, length);
        }
        seen.waiting = static_cast<double>(waiting) / std::max(seen.samples, 1.0);
        report.rows.push_back({.entity = {.kind = "cpu", .name = "cpu " + std::to_string(cpu.cpu)},
                               .metrics = metrics_of(seen)});
        report.rows.back().metrics.push_back({.name = "longest",
                                              .type = Metric::Type::kGauge,
                                              .unit = "1",
                                              .value = static_cast<double>(seen.longest)});
    }
}

void add_entities(Report& report, const Snapshot& snapshot)
{
    const Entities entities(snapshot.cgroups, snapshot.entities);
    std::map<uint32_t, double> samples;
    for (const RunqCpu& cpu : snapshot.runq.cpus)
        samples[cpu.cpu] = std::max(static_cast<double>(cpu.samples), 1.0);
    std::map<std::string, std::pair<Entity, Seen>> found;
    for (const RunqOwner& owner : snapshot.runq.owners) {
        Entity entity = entity_of(entities, owner.owner, report.group);
        auto& [known, seen] = found[key_of(entity)];
        known = std::move(entity);
        const double n = samples[owner.cpu];
        seen.length += static_cast<double>(owner.sum) / n;
        const double waiting = std::min(1.0, static_cast<double>(owner.seen) / n);
        if (waiting >= seen.waiting) {
            seen.waiting = waiting;
            seen.samples = n;
        }
    }
    for (auto& [key, row] : found)
        report.rows.push_back({.entity = std::move(row.first), .metrics = metrics_of(row.second)});
    std::ranges::stable_sort(report.rows, std::greater{},
                             [](const Row& row) { return row.metrics.front().value; });
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "runqlen", "Tasks that wait for a CPU, by samples");
    report.group = options.group;
    if (options.group.empty()) {
        add_cpus(report, snapshot);
    } else {
        add_entities(report, snapshot);
        if (std::ranges::any_of(snapshot.runq.cpus, [](const RunqCpu& c) { return c.cut != 0; }))
            report.notes.emplace_back("of some samples not all tasks that waited were looked at");
    }
    finish(report, options);
    return report;
}

} // namespace

ToolSpec runqlen_tool()
{
    return {
        .name = "runqlen",
        .summary = "how many tasks wait in the run queues, per CPU",
        .details =
            "Each CPU is looked at 199 times a second: how many tasks wait for it, the running\n"
            "one not counted, and those held back by a CPU quota not either. The length is the\n"
            "mean; of an entity, of all CPUs together. WAITING is the share of samples in which\n"
            "any waited; of an entity, in the cgroup and on the CPU where it is largest. It is off\n"
            "by no more than the error in 95 of 100 cases, of the samples that came: those that a\n"
            "CPU was too late for are in the ledger. Real-time tasks are in the rows of CPUs only.\n"
            "vtrace's own thread counts as any other.",
        .examples = "  vtrace runqlen 5 1                   each CPU, for 5 s\n"
                    "  vtrace runqlen --container 5 1       who has tasks waiting\n"
                    "  vtrace runqlen --format json 1 | jq '.rows[0].metrics.length.value'\n",
        .parts = parts,
        .build = build,
        .text = runqlen_text,
        .without_tasks =
            "a queue is a CPU's, its tasks are counted by entity: --cgroup=PATH and its "
            "like select one; how long a process waits is in `vtrace runqlat`",
    };
}

} // namespace vtrace
