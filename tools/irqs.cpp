// SPDX-License-Identifier: GPL-2.0-only
#include "tools/irqs.h"

#include "entity/entities.h"
#include "render/irq_text.h"
#include "tools/report_parts.h"
#include "tools/vm_rows.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace vtrace {
namespace {

constexpr std::string_view kVictims =
    "an interrupt takes the CPU of whatever runs there, which is charged by entity: "
    "--cgroup=PATH and its like select one";

SchedParts parts(const ToolOptions&)
{
    return {};
}

Entity entity_of(const IrqKind& kind)
{
    Entity entity{.kind = kind.hard ? "hardirq" : "softirq", .name = irq_name(kind)};
    if (kind.hard && !kind.other)
        entity.labels.push_back({"irq", std::to_string(kind.number)});
    return entity;
}

// How many CPUs it kept busy.
Metric cpus_of(uint64_t ns, uint64_t duration_ns)
{
    return {.name = "cpus",
            .type = Metric::Type::kGauge,
            .unit = "1",
            .value =
                static_cast<double>(ns) / static_cast<double>(std::max<uint64_t>(duration_ns, 1))};
}

Row row_of(Entity entity, const IrqTimes& times, uint64_t duration_ns)
{
    Row row{.entity = std::move(entity)};
    row.histograms.push_back({"time", times.time});
    if (!times.kind.hard)
        row.histograms.push_back({"delay", times.delay});
    else
        add_counter(row, "not_handled", "1", times.not_handled);
    row.metrics.push_back(cpus_of(times.time.sum, duration_ns));
    return row;
}

void add_times(IrqTimes& sum, const IrqTimes& times)
{
    sum.kind = times.kind;
    sum.not_handled += times.not_handled;
    sum.time.merge(times.time);
    sum.delay.merge(times.delay);
}

Row row_of(Entity entity, uint64_t count, uint64_t ns, uint64_t duration_ns)
{
    Row row{.entity = std::move(entity)};
    add_counter(row, "count", "1", count);
    add_counter(row, "time", "ns", ns);
    row.metrics.push_back(cpus_of(ns, duration_ns));
    return row;
}

double time_of(const Row& row)
{
    if (!row.histograms.empty())
        return static_cast<double>(row.histograms.front().histogram.sum);
    const auto time = std::ranges::find(row.metrics, "time", &Metric::name);
    return time == row.metrics.end() ? 0 : time->value;
}

void sort_rows(std::vector<Row>& rows)
{
    std::ranges::stable_sort(rows, std::greater{}, time_of);
}

// Names who paid.
class Payers {
public:
    Payers(const Snapshot& snapshot, const ToolOptions& options)
        : entities_(snapshot.cgroups, snapshot.entities),
          group_(options.group.empty() ? "cgroup" : options.group)
    {
    }

    [[nodiscard]] Entity payer(const IrqCharge& charge) const
    {
        if (charge.idle)
            return {.kind = "part", .name = std::string(kIdle)};
        return vtrace::entity_of(entities_, charge.owner, group_);
    }

private:
    Entities entities_;
    std::string group_;
};

struct Paid {
    Entity entity;
    uint64_t count = 0;
    uint64_t ns = 0;
    void add(const IrqCharge& charge)
    {
        count += charge.count;
        ns += charge.ns;
    }
};

// A row for each kind: the CPUs that it ran on, and who paid there.
void add_kinds(Report& report, const Snapshot& snapshot, const Payers& owners, bool hard)
{
    std::map<IrqKind, Row> rows;
    std::map<IrqKind, IrqTimes> sums;
    for (const IrqTimes& times : snapshot.irq.times) {
        if (times.kind.hard != hard)
            continue;
        add_times(sums[times.kind], times);
        rows[times.kind].rows.push_back(
            row_of({.kind = "cpu", .name = "cpu " + std::to_string(times.cpu)}, times,
                   snapshot.duration_ns));
    }
    std::map<std::pair<IrqKind, std::string>, Paid> paid;
    for (const IrqCharge& charge : snapshot.irq.charges) {
        if (charge.kind.hard != hard)
            continue;
        Entity entity = owners.payer(charge);
        Paid& found = paid[{charge.kind, key_of(entity)}];
        found.entity = std::move(entity);
        found.add(charge);
    }
    for (const auto& [key, one] : paid)
        rows[key.first].rows.push_back(row_of(one.entity, one.count, one.ns, snapshot.duration_ns));
    for (auto& [kind, row] : rows) {
        IrqTimes& times = sums[kind];
        times.kind = kind;
        Row whole = row_of(entity_of(kind), times, snapshot.duration_ns);
        whole.rows = std::move(row.rows);
        sort_rows(whole.rows);
        std::stable_partition(whole.rows.begin(), whole.rows.end(),
                              [](const Row& part) { return part.entity.kind == "cpu"; });
        report.rows.push_back(std::move(whole));
    }
}

// A row for each who paid, and for what.
void add_payers(Report& report, const Snapshot& snapshot, const Payers& owners, bool hard)
{
    struct Payer {
        Paid all;
        std::map<IrqKind, Paid> kinds;
    };
    std::map<std::string, Payer> payers;
    for (const IrqCharge& charge : snapshot.irq.charges) {
        if (charge.kind.hard != hard)
            continue;
        Entity entity = owners.payer(charge);
        Payer& payer = payers[key_of(entity)];
        payer.all.entity = std::move(entity);
        payer.all.add(charge);
        payer.kinds[charge.kind].add(charge);
    }
    for (const auto& [key, payer] : payers) {
        Row row = row_of(payer.all.entity, payer.all.count, payer.all.ns, snapshot.duration_ns);
        for (const auto& [kind, paid] : payer.kinds)
            row.rows.push_back(row_of(entity_of(kind), paid.count, paid.ns, snapshot.duration_ns));
        sort_rows(row.rows);
        report.rows.push_back(std::move(row));
    }
}

Report build(const Snapshot& snapshot, const ToolOptions& options, bool hard)
{
    Report report = empty_report(snapshot, hard ? "hardirqs" : "softirqs",
                                 hard ? "Time in interrupts, and whose CPU it took"
                                      : "Time and delay of softirqs, and whose CPU they took");
    report.event = "run";
    report.nested = "parts";
    report.group = options.group;
    const Payers owners(snapshot, options);
    if (options.group.empty())
        add_kinds(report, snapshot, owners, hard);
    else
        add_payers(report, snapshot, owners, hard);
    sort_rows(report.rows);
    finish(report, options);
    return report;
}

Report build_soft(const Snapshot& snapshot, const ToolOptions& options)
{
    return build(snapshot, options, false);
}

Report build_hard(const Snapshot& snapshot, const ToolOptions& options)
{
    return build(snapshot, options, true);
}

} // namespace

ToolSpec softirqs_tool()
{
    return {
        .name = "softirqs",
        .summary = "softirqs: time, delay, CPUs, whose time they took",
        .details =
            "Each kind of softirq: how often it ran, for how long, and on which CPUs. The\n"
            "delay is from its first raise on a CPU until it ran there: what packets, timers\n"
            "and completed I/O wait for. Hard interrupts that came meanwhile are in the time.\n"
            "A softirq runs wherever it is raised: the task that it interrupts pays for it\n"
            "with its CPU time, whosever packet or I/O it is. That one is charged: its cgroup\n"
            "(container, pod, unit, VM); nobody on an idle CPU; ksoftirqd where the kernel\n"
            "put it off to its own thread. With a target or a grouping the rows are those\n"
            "who paid; a delay is the CPU's, and of nobody.",
        .examples = "  vtrace softirqs 5 1                  each kind, for 5 s\n"
                    "  vtrace softirqs --container 5 1      which container paid for what\n"
                    "  vtrace softirqs --cgroup=/docker 1\n"
                    "  vtrace softirqs --format json 1 | jq '.rows[].metrics.delay.p99'\n",
        .parts = parts,
        .build = build_soft,
        .text = irq_text,
        .irq = {.soft = true},
        .without_tasks = kVictims,
    };
}

ToolSpec hardirqs_tool()
{
    return {
        .name = "hardirqs",
        .summary = "interrupts: time per handler, whose time it took",
        .details =
            "Each handler of an interrupt, by its number and name in /proc/interrupts: how\n"
            "often it ran, for how long, and on which CPUs. On a line that devices share\n"
            "each handler is asked: NOT ITS is how often its device had nothing. There is no\n"
            "delay: when a device asked is known to nobody. Interrupts without a number (the\n"
            "local timer, those between CPUs) have no handler, and are not in it.\n"
            "The task that is interrupted pays with its CPU time, whosever I/O it is: its\n"
            "cgroup (container, pod, unit, VM) is charged; nobody on an idle CPU. With a\n"
            "target or a grouping the rows are those who paid.",
        .examples = "  vtrace hardirqs 5 1                  each handler, for 5 s\n"
                    "  vtrace hardirqs --container 5 1      which container paid for what\n"
                    "  vtrace hardirqs --cgroup=/docker 1\n"
                    "  vtrace hardirqs --format json 1 | jq '.rows[].metrics.time.p99'\n",
        .parts = parts,
        .build = build_hard,
        .text = irq_text,
        .irq = {.hard = true},
        .without_tasks = kVictims,
    };
}

} // namespace vtrace
