// SPDX-License-Identifier: GPL-2.0-only
#include "tools/offcputime.h"

#include "render/stacks_text.h"
#include "render/units.h"
#include "tools/report_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {.stacks = true};
}

Metric counter(std::string name, std::string unit, uint64_t value)
{
    return {.name = std::move(name), .unit = std::move(unit), .value = static_cast<double>(value)};
}

Stack stack_of(const Block& block, const StackSnapshot& stacks)
{
    const auto names = [&](const std::vector<uint32_t>& frames) {
        std::vector<std::string> text;
        text.reserve(frames.size());
        for (const uint32_t frame : frames)
            text.push_back(stacks.frames[frame]);
        return text;
    };
    return {.reason = block.reason,
            .comm = block.comm,
            .pid = block.tgid,
            .user = names(block.user),
            .kernel = names(block.kernel)};
}

// One entity while its row is put together.
struct Sum {
    uint64_t count = 0;
    uint64_t ns = 0;
    std::map<std::string, uint64_t> reasons;
};

void complete(Row& row, const Sum& sum)
{
    row.metrics = {counter("count", "1", sum.count), counter("time", "ns", sum.ns)};
    std::vector<std::pair<std::string, uint64_t>> reasons(sum.reasons.begin(), sum.reasons.end());
    std::ranges::stable_sort(reasons, std::greater{}, &std::pair<std::string, uint64_t>::second);
    for (const auto& [reason, ns] : reasons)
        row.metrics.push_back(counter(reason, "ns", ns));
    for (Row& stack : row.rows) {
        stack.metrics.push_back(
            {.name = "share",
             .type = Metric::Type::kShare,
             .unit = "1",
             .value = stack.metrics[1].value / static_cast<double>(std::max<uint64_t>(sum.ns, 1))});
    }
}

Entity owner_entity(const Snapshot& snapshot, const Entities& entities, const Block& block,
                    const std::string& kind)
{
    return kind.empty() ? Entity{.kind = "host", .name = snapshot.host.name}
                        : entity_in_cgroups(snapshot, entities, block.owner, kind);
}

void add_blocks(Report& report, const Snapshot& snapshot, const Entities& entities)
{
    const StackSnapshot& stacks = snapshot.stacks;
    std::map<std::string, size_t> known; // the row
    std::vector<Sum> sums;
    for (const Block& block : stacks.ended) {
        Entity entity = owner_entity(snapshot, entities, block, report.group);
        const auto [at, is_new] = known.try_emplace(key_of(entity), report.rows.size());
        if (is_new) {
            report.rows.push_back({.entity = std::move(entity)});
            sums.emplace_back();
        }
        Sum& sum = sums[at->second];
        sum.count += block.count;
        sum.ns += block.ns;
        sum.reasons[block.reason] += block.ns;
        report.rows[at->second].rows.push_back(
            {.metrics = {counter("count", "1", block.count), counter("time", "ns", block.ns),
                         counter("max", "ns", block.max_ns)},
             .stack = stack_of(block, stacks)});
    }
    for (size_t i = 0; i < sums.size(); i++)
        complete(report.rows[i], sums[i]);
    std::ranges::stable_sort(report.rows, std::greater{},
                             [](const Row& row) { return row.metrics[1].value; });
}

void add_open_blocks(Report& report, const Snapshot& snapshot, const Entities& entities)
{
    const StackSnapshot& stacks = snapshot.stacks;
    for (const Block& block : stacks.open) {
        report.open.push_back({.entity = owner_entity(snapshot, entities, block, report.group),
                               .wait = {.wait_ns = block.ns,
                                        .cgroup_id = block.owner.cgroup_id,
                                        .vm = block.owner.vm,
                                        .tid = block.tid,
                                        .tgid = block.tgid,
                                        .comm = block.comm},
                               .stack = stack_of(block, stacks)});
    }
}

std::string title(const StackSnapshot& stacks)
{
    std::string text = "Time off the CPU of at least " + format_duration(stacks.min_ns);
    if (stacks.max_ns != UINT64_MAX)
        text += " and at most " + format_duration(stacks.max_ns);
    return text + ", by reason and stack";
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "offcputime", title(snapshot.stacks));
    report.event = "time off the CPU";
    report.nested = "stacks";
    report.group = options.group;
    const Entities entities(snapshot.cgroups, snapshot.entities);
    add_blocks(report, snapshot, entities);
    add_open_blocks(report, snapshot, entities);
    finish(report, options);
    const size_t most = options.top != 0 ? options.top : options.text() ? kStacksShown : 0;
    for (Row& row : report.rows) {
        if (most != 0 && row.rows.size() > most)
            row.rows.resize(most);
    }
    return report;
}

} // namespace

ToolSpec offcputime_tool()
{
    return {
        .name = "offcputime",
        .summary = "where and why tasks are off the CPU, by stack",
        .details =
            "The time from leaving a CPU to getting one again, summed by the reason and by the\n"
            "stacks of kernel and user code that led there. The wait for a CPU at its end\n"
            "belongs to it. A time counts, whole, in the report in which it ends; what has not\n"
            "ended is listed apart, from the start of vtrace at the earliest.\n"
            "Reasons: runnable (preempted), throttled (CPU quota), disk, lock, socket, poll,\n"
            "memory, fault, sleep, pipe, wait (for a child or a signal), aio, kthread, stopped,\n"
            "blocked and other (uninterruptible, interruptible, for none of these).\n"
            "User stacks need programs built with frame pointers (-fno-omit-frame-pointer). Of a\n"
            "function without, its callers up to the next with one are missing: for those of\n"
            "libc that enter the kernel that is the one that called them.\n"
            "A process must live about 0.1 s longer than its first stack to be named.",
        .examples =
            "  vtrace offcputime 5 1                the host, times from 1 ms on, 5 s\n"
            "  vtrace offcputime --container 5 1    per container\n"
            "  vtrace offcputime --pid 4711 --blocked --min 0.1 5 1\n"
            "                                       where one process blocks, from 0.1 ms on\n"
            "  vtrace offcputime --format folded 10 1 | flamegraph.pl > off.svg\n",
        .parts = parts,
        .build = build,
        .text = stacks_text,
        .folded = stacks_folded,
        .flags = {{"--blocked", "Not what could run but for a CPU", &ToolOptions::blocked}},
        .block_times = true,
    };
}

} // namespace vtrace
