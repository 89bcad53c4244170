// SPDX-License-Identifier: GPL-2.0-only
#include "demo/scenario.h"

#include "demo/net_loads.h"
#include "demo/stage.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace vtrace {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kKib = 1 << 10;
constexpr uint64_t kMib = 1 << 20;

// Names of cgroups and tasks. They are what a diagnosis tells of.
constexpr auto kWeb = "web";
constexpr auto kBatch = "batch";
constexpr auto kBackup = "backup";
constexpr auto kDb = "db";

Load spin()
{
    return compute(1ms, 0us);
}

Result<std::unique_ptr<Running>> cpu_throttled()
{
    return start({.cgroups = {{kWeb, {.cpus = 0.2}}}, .loads = {{kWeb, kWeb, spin()}}});
}

Result<std::unique_ptr<Running>> cpu_neighbour()
{
    const int cpu = demo_cpu();
    return start({.cgroups = {{kWeb, {}}, {kBatch, {}}},
                  .loads = {{kWeb, kWeb, compute(5ms, 5ms), cpu},
                            {"batch-1", kBatch, spin(), cpu},
                            {"batch-2", kBatch, spin(), cpu}}});
}

Result<std::unique_ptr<Running>> cpu_self()
{
    const int cpu = demo_cpu();
    return start({.cgroups = {{kWeb, {}}},
                  .loads = {{"web-1", kWeb, spin(), cpu},
                            {"web-2", kWeb, spin(), cpu},
                            {"web-3", kWeb, spin(), cpu},
                            {"web-4", kWeb, spin(), cpu}}});
}

Result<std::unique_ptr<Running>> memory_limit()
{
    return start(
        {.cgroups = {{kDb, {.memory = 64 * kMib}}},
         .loads = {{"db-heap", kDb, touch_memory(20 * kMib)}, {"db-files", kDb, map_disk()}},
         // Little more than fits: what is evicted is soon needed again.
         .disk = 72 * kMib});
}

Result<std::unique_ptr<Running>> memory_oom()
{
    constexpr auto kParent = "supervisor";
    return start({.cgroups = {{kWeb, {.memory = 32 * kMib}}, {kParent, {}}},
                  .loads = {{kWeb, kParent, outgrow_memory(kWeb, 64 * kMib)}}});
}

Result<std::unique_ptr<Running>> disk_limit()
{
    return start({.cgroups = {{kDb, {.reads = 2 * kMib}}},
                  .loads = {{kDb, kDb, read_disk(64 * kKib, 1ms)}},
                  .disk = 64 * kMib});
}

Result<std::unique_ptr<Running>> disk_neighbour()
{
    // A loop device works on 128 requests at a time; more wait in its queue, where mq-deadline has room for 192 writes.
    constexpr int kDepth = 160;
    return start({.cgroups = {{kDb, {}}, {kBackup, {}}},
                  .loads = {{kDb, kDb, write_disk(4 * kKib, 10ms)},
                            {kBackup, kBackup, flood_disk(kDepth, 512 * kKib)}},
                  .disk = 64 * kMib,
                  .scheduler = "mq-deadline"});
}

Result<std::unique_ptr<Running>> lock_contention()
{
    constexpr int kThreads = 4;
    return start(
        {.cgroups = {{kWeb, {}}}, .loads = {{kWeb, kWeb, fight_over_lock(kThreads, 2ms, 100us)}}});
}

Result<std::unique_ptr<Running>> net_drops()
{
    return start(
        {.cgroups = {{kWeb, {}}, {"client", {}}},
         .loads = {{kWeb, kWeb, receive_too_little()}, {"client", "client", send_datagrams(1ms)}}});
}

Result<std::unique_ptr<Running>> net_queue()
{
    return start({.cgroups = {{"client", {}}, {kBackup, {}}},
                  .loads = {{"client", "client", receive_datagrams()},
                            {kBackup, kBackup, send_through_slow_link()}}});
}

Result<std::unique_ptr<Running>> healthy()
{
    return start(
        {.cgroups = {{kWeb, {}}, {kDb, {}}},
         .loads = {{kWeb, kWeb, compute(1ms, 19ms)}, {kDb, kDb, read_disk(4 * kKib, 50ms)}},
         .disk = 64 * kMib});
}

constexpr std::array kScenarios = {
    Scenario{"cpu-throttled", "Wants a CPU, may have a fifth of one: its own quota",
             "cpu-throttled", cpu_throttled},
    Scenario{"cpu-neighbour", "Wants half a CPU that another cgroup keeps busy", "cpu-neighbour",
             cpu_neighbour},
    Scenario{"cpu-self", "Four busy tasks of one cgroup on one CPU", "cpu-self", cpu_self},
    Scenario{"memory-limit", "Needs 92 MiB of memory and files, may have 64 MiB", "memory-limit",
             memory_limit},
    Scenario{"memory-oom", "Outgrows its limit of 32 MiB again and again, is killed for it",
             "memory-oom", memory_oom},
    Scenario{"disk-limit", "Reads a disk of which it may have 2 MiB a second", "disk-limit",
             disk_limit},
    Scenario{"disk-neighbour", "Small writes to a disk that another cgroup floods",
             "disk-neighbour", disk_neighbour},
    Scenario{"lock-contention", "Four threads that do all of their work under one lock",
             "lock-contention", lock_contention},
    Scenario{"net-drops", "Gets more datagrams than it reads: its socket's buffer is full",
             "net-drops", net_drops},
    Scenario{"net-queue", "Sends more than its link's shaper lets out", "net-queue", net_queue},
    Scenario{"healthy", "Modest work, and nothing that it waits for", "", healthy},
};

} // namespace

std::span<const Scenario> scenarios()
{
    return kScenarios;
}

const Scenario* find_scenario(std::string_view name)
{
    const auto found = std::ranges::find(kScenarios, name, &Scenario::name);
    return found == kScenarios.end() ? nullptr : &*found;
}

} // namespace vtrace
