// SPDX-License-Identifier: GPL-2.0-only
#include "samples.h"

#include "render/text_parts.h"

#include <algorithm>
#include <stdexcept>

namespace vtrace::test {
namespace {

constexpr uint64_t kUs = 1'000;
constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1'000'000'000;

Snapshot base()
{
    Snapshot snapshot;
    snapshot.host = {.name = "node-7", .kernel = "6.1.0-18-amd64"};
    snapshot.start_ns = 1'700'000'000'123'456'789;
    snapshot.duration_ns = 5 * kSecond;
    snapshot.cgroups = {
        .hierarchy = "cpu (v1)",
        .cgroups = {{.id = 1, .parent = 0, .name = ""},
                    {.id = 20, .parent = 1, .name = "docker"},
                    {.id = 21, .parent = 20, .name = "4f5e0c5a1b2c"},
                    {.id = 22, .parent = 20, .name = "77aa0c5a1b2c"},
                    {.id = 30, .parent = 1, .name = "machine.slice", .removed = true}}};
    snapshot.overhead = {
        .timed = true,
        .programs = {{.name = "sched_switch", .run_cnt = 123'456, .run_time_ns = 61'728'000},
                     {.name = "idle_program", .run_cnt = 0, .run_time_ns = 0}},
        .cpu_ns = 12 * kMs,
        .rss_bytes = 9'437'184,
        .startup_ns = 87 * kMs};
    return snapshot;
}

OpenWait open_wait(uint64_t ns, uint64_t cgroup, uint32_t tid, std::string comm)
{
    return {.wait_ns = ns,
            .cgroup_id = cgroup,
            .tid = tid,
            .tgid = tid - tid % 10,
            .comm = std::move(comm)};
}

} // namespace

const ToolSpec& tool(std::string_view name)
{
    const auto found = std::ranges::find(tools(), name, &ToolSpec::name);
    if (found == tools().end())
        throw std::invalid_argument("no tool " + std::string(name));
    return *found;
}

Histogram histogram(const std::vector<std::pair<uint64_t, uint64_t>>& values_and_counts)
{
    Histogram all;
    for (const auto& [value, count] : values_and_counts) {
        Histogram one;
        one.add(value);
        one.buckets.front().count = count;
        one.sum = value * count;
        all.merge(one);
    }
    return all;
}

OwnerTime waits(uint64_t cgroup_id, Histogram time)
{
    return {
        .owner = {.cgroup_id = cgroup_id}, .about = std::string(kWait), .time = std::move(time)};
}

Histogram rest_of(const Snapshot& snapshot)
{
    for (const OwnerTime& time : snapshot.sched.times) {
        if (time.owner == OwnerId{})
            return time.time;
    }
    return {};
}

Snapshot host_snapshot()
{
    Snapshot snapshot = base();
    snapshot.sched.times = {waits(0, histogram({{0, 3},
                                                {90, 40},
                                                {700, 1'200},
                                                {1'300, 4'000},
                                                {5 * kUs, 900},
                                                {40 * kUs, 70},
                                                {3 * kMs, 12},
                                                {250 * kMs, 1}}))};
    return snapshot;
}

Snapshot grouped_snapshot()
{
    Snapshot snapshot = base();
    snapshot.sched.by_cgroup = true;
    snapshot.sched.times = {
        waits(1, histogram({{800, 1'000}, {2 * kUs, 300}})),
        waits(22, histogram({{4 * kMs, 2'000}, {90 * kMs, 44}, {1'500 * kMs, 1}})),
        waits(30, histogram({{15, 1}})),
        waits(21, histogram({{1'100, 2'500'000}, {20 * kUs, 1'000}})),
        waits(99, histogram({{7 * kUs, 7}})),
        waits(0, histogram({{3 * kUs, 10}})),
    };
    return snapshot;
}

Snapshot empty_snapshot(bool by_cgroup)
{
    Snapshot snapshot = base();
    snapshot.sched.by_cgroup = by_cgroup;
    return snapshot;
}

Snapshot lossy_snapshot()
{
    Snapshot snapshot = host_snapshot();
    uint64_t count = 1;
    for (const LossCounter& counter : loss_counters())
        snapshot.loss.*counter.count = count++ * 1'111;
    snapshot.loss.fallbacks = {"a hash of tasks in place of task storage (kernel before 5.12)"};
    return snapshot;
}

Snapshot waiting_snapshot()
{
    Snapshot snapshot = host_snapshot();
    snapshot.sched.open = {
        open_wait(64 * kSecond, 21, 4'711, "starved"),
        open_wait(2 * kSecond, 22, 4'712, "nginx: worker p"),
        open_wait(900 * kMs, 99, 4'713, "who"),
        open_wait(30 * kMs, 1, 4'714, "kworker/0:1"),
        open_wait(1'001 * kUs, 30, 4'715, "late"),
        open_wait(kMs, 1, 4'716, "edge"),
        open_wait(kMs - 1, 1, 4'717, "not worth showing"),
    };
    return snapshot;
}

Snapshot hostile_snapshot()
{
    Snapshot snapshot = grouped_snapshot();
    snapshot.host.name = "node\x1b]0;owned\x07\n\xff";
    auto& cgroups = snapshot.cgroups.cgroups;
    cgroups[2].name = "\x1b[2J\x1b[31m\u202egnp.exe\r\n\t";
    cgroups[3].name = std::string(200, 'y') +
                      "\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80 ünïcödé 日本語 \"quoted\" \\back";
    cgroups[4].name = std::string(255, 'x');
    snapshot.loss.fallbacks = {
        "one that is so long that it takes more than a line of eighty columns to say why",
        std::string(300, 'z')};
    snapshot.sched.open = {open_wait(5 * kSecond, 21, 4'711, "\x1b[31mred\x1b[m\n"),
                           open_wait(3 * kSecond, 30, 4'712, "\xff\xfe\x80")};
    return snapshot;
}

Snapshot huge_snapshot()
{
    constexpr uint64_t kMonth = 30 * 86'400 * kSecond;
    Snapshot snapshot = grouped_snapshot();
    snapshot.duration_ns = kMonth;
    // 1,000 tasks that wait all the time, and one that never ran.
    snapshot.sched.times.push_back(waits(20, histogram({{999'600 * kUs, 2'500'000'000}})));
    snapshot.sched.times.push_back(waits(22, histogram({{kMonth, 1}, {kUs, 999'600'000'000}})));
    snapshot.sched.open = {open_wait(kMonth, 21, 4'194'303, "starved")};
    for (const LossCounter& counter : loss_counters())
        snapshot.loss.*counter.count = 999'600'000'000;
    return snapshot;
}

std::vector<std::pair<std::string, Snapshot>> all_snapshots()
{
    return {{"host", host_snapshot()},
            {"grouped", grouped_snapshot()},
            {"empty", empty_snapshot(false)},
            {"empty_grouped", empty_snapshot(true)},
            {"losses", lossy_snapshot()},
            {"open_waits", waiting_snapshot()},
            {"hostile_names", hostile_snapshot()},
            {"huge", huge_snapshot()}};
}

double value(const Row& row, const std::string& name)
{
    return find_value(row, name).value_or(-1);
}

Report report_of(const Snapshot& snapshot, const ToolOptions& options)
{
    return tool("runqlat").build(snapshot, options);
}

} // namespace vtrace::test
