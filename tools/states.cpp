// SPDX-License-Identifier: GPL-2.0-only
#include "tools/states.h"

#include "collect/reasons.h"
#include "render/states_text.h"
#include "render/units.h"
#include "tools/report_parts.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions& options)
{
    return {.waits = true, .throttling = true, .states = true, .threads = options.threads};
}

// One row while it is put together.
struct Whole {
    uint64_t threads = 0;
    StateTimes times;

    Whole& operator+=(const Whole& other)
    {
        threads += other.threads;
        times += other.times;
        return *this;
    }
};

using Named = std::vector<std::pair<std::string, uint64_t>>;

uint64_t unknown_ns(const StateTimes& times)
{
    return times.lived - std::min(times.lived, times.sum());
}

// Running time as the kernel's accounts divide it. Where these are made by ticks a short time may be in
// none: then it stays undivided.
Named divided(const StateTimes& times)
{
    const uint64_t running = times.ns.at(VT_REASON_NONE);
    const auto counted = static_cast<double>(times.utime + times.stime);
    Named states;
    if (counted == 0) {
        states = {{"user", 0}, {"system", 0}, {"guest", 0}, {"running", running}};
    } else {
        const auto part = [&](uint64_t ns) {
            return whole_number(static_cast<double>(running) * static_cast<double>(ns) / counted);
        };
        const uint64_t guest = std::min(part(std::min(times.gtime, times.utime)), running);
        const uint64_t system = std::min(part(times.stime), running - guest);
        states = {{"user", running - guest - system},
                  {"system", system},
                  {"guest", guest},
                  {"running", 0}};
    }
    for (size_t i = VT_REASON_RUNNABLE; i < kStates; i++)
        states.emplace_back(reason_name(static_cast<uint32_t>(i)), times.ns.at(i));
    states.emplace_back("stolen", times.stolen);
    states.emplace_back("unknown", unknown_ns(times));
    return states;
}

Row row_of(Entity entity, const Whole& whole)
{
    Row row{.entity = std::move(entity), .histogram = {}, .metrics = {}, .rows = {}};
    const uint64_t sum = whole.times.sum() + unknown_ns(whole.times);
    row.metrics = {
        {.name = "threads",
         .type = Metric::Type::kGauge,
         .unit = "1",
         .value = static_cast<double>(whole.threads)},
        {.name = "thread_time", .unit = "ns", .value = static_cast<double>(whole.times.lived)},
        {.name = "states_sum", .unit = "ns", .value = static_cast<double>(whole.times.sum())},
        {.name = "voluntary_switches",
         .unit = "1",
         .value = static_cast<double>(whole.times.voluntary)}};
    for (const auto& [name, ns] : divided(whole.times)) {
        const auto value = static_cast<double>(ns);
        row.metrics.push_back({.name = name, .unit = "ns", .value = value});
        row.metrics.push_back({.name = name + "_share",
                               .type = Metric::Type::kShare,
                               .unit = "1",
                               .value = value / static_cast<double>(std::max<uint64_t>(sum, 1))});
    }
    return row;
}

// The threads of one row, those with the most time off their sleep first; what is left is of threads that
// have ended, or were in another row before.
void add_threads(Row& row, const Whole& whole, std::vector<const ThreadStates*> threads)
{
    const auto key = [](const ThreadStates* t) {
        const uint64_t idle = t->times.ns.at(VT_REASON_SLEEP) + t->times.ns.at(VT_REASON_POLL) +
                              t->times.ns.at(VT_REASON_KTHREAD);
        return std::tuple(t->times.ns.at(VT_REASON_NONE), t->times.sum() - idle, t->times.sum());
    };
    std::ranges::stable_sort(threads, std::greater{}, key);
    StateTimes left = whole.times;
    for (const ThreadStates* thread : threads) {
        Entity entity = {.kind = "thread", .name = thread->comm, .id = thread->tid};
        entity.pid = thread->tgid;
        row.rows.push_back(row_of(std::move(entity), {.threads = 1, .times = thread->times}));
        left -= thread->times;
    }
    constexpr uint64_t kNothing = 1000; // ns: roundings
    if (left.sum() > kNothing) {
        row.rows.push_back(
            row_of({.kind = "part", .name = "(ended)"}, {.threads = 0, .times = left}));
    }
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "states", "Where the time of threads went");
    const std::string kind = options.wait_kind();
    report.group = options.group;
    report.nested = options.threads ? "threads" : "";
    const Entities entities(snapshot.cgroups, snapshot.entities);
    const auto entity_for = [&](const OwnerId& owner) {
        return report.group.empty() ? Entity{.kind = "host", .name = snapshot.host.name}
                                    : entity_in_cgroups(snapshot, entities, owner, kind);
    };

    std::vector<std::pair<Entity, Whole>> rows;
    std::map<std::string, size_t> known;
    for (const OwnerStates& owner : snapshot.states.owners) {
        Entity entity = entity_for(owner.owner);
        const auto [at, is_new] = known.try_emplace(key_of(entity), rows.size());
        if (is_new)
            rows.emplace_back(std::move(entity), Whole{});
        rows[at->second].second += {.threads = owner.threads, .times = owner.times};
    }
    std::map<std::string, std::vector<const ThreadStates*>> threads;
    for (const ThreadStates& thread : snapshot.states.threads)
        threads[key_of(entity_for(thread.owner))].push_back(&thread);

    // Who ran most; of those that did not run, who has most threads.
    std::ranges::stable_sort(rows, std::greater{}, [](const auto& row) {
        return std::pair(row.second.times.ns.at(VT_REASON_NONE), row.second.times.lived);
    });
    for (auto& [entity, whole] : rows) {
        const auto of_row = threads.find(key_of(entity));
        report.rows.push_back(row_of(std::move(entity), whole));
        if (options.threads && of_row != threads.end())
            add_threads(report.rows.back(), whole, std::move(of_row->second));
    }
    finish(report, options);
    return report;
}

} // namespace

ToolSpec states_tool()
{
    return {
        .name = "states",
        .summary = "where threads spend their time, and why off a CPU",
        .details =
            "Divides the time of all threads (as many as there are, times the window) by what\n"
            "they did. On a CPU: user, system, guest; stolen (the hypervisor above, or an\n"
            "interrupt, had it). Able to run: runnable, throttled. Off it, by what the kernel\n"
            "notes: disk, memory, fault, stopped, blocked (\"D\" for another reason); or by the\n"
            "system call: lock (futex, semaphore, file lock), socket, poll (poll, select,\n"
            "epoll), sleep, pipe, wait (for a child or a signal), aio, other. A read or write\n"
            "counts by the kind of its file; that of a file is disk. kthread: idle threads of\n"
            "the kernel. unknown is what these leave of the thread time.\n"
            "Running time is divided as the kernel's accounts of the threads grew; most\n"
            "kernels sample these by ticks (1 to 10 ms), so short runs may stay undivided\n"
            "(running).",
        .examples = "  vtrace states 5 1                    every cgroup, for 5 s\n"
                    "  vtrace states --container 5 1        per container\n"
                    "  vtrace states --pid 4711 --threads 5 1\n"
                    "                                       each thread of one process\n"
                    "  vtrace states --format json 5 1 | jq '.rows[0].metrics.lock_share'\n",
        .parts = parts,
        .build = build,
        .text = states_text,
        .group = "cgroup",
        .flags = {{"--threads", "Each thread, too", &ToolOptions::threads}},
    };
}

} // namespace vtrace
