// SPDX-License-Identifier: GPL-2.0-only
#include "model/snapshot.h"

#include "render/json.h"
#include "render/text.h"
#include "samples.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <random>
#include <string>

namespace vtrace {
namespace {

using nlohmann::json;
using test::all_snapshots;
using testing::HasSubstr;

std::string every_byte()
{
    std::string bytes;
    for (int byte = 0; byte < 256; byte++)
        bytes += static_cast<char>(byte);
    return bytes;
}

// Every field differs from its default and from the others.
Snapshot full_snapshot()
{
    Snapshot s = test::hostile_snapshot();
    s.host.name += every_byte();
    s.host.kernel = "6.18.0";
    s.start_ns = INT64_MAX / 2;
    s.duration_ns = 77;
    s.cgroups.hierarchy = "v2";
    s.cgroups.cgroups.push_back(
        {.id = UINT64_MAX, .parent = UINT64_MAX - 1, .name = every_byte(), .removed = true});
    s.entities.push_back({.cgroup_id = UINT64_MAX - 2,
                          .kind = "vm",
                          .name = every_byte(),
                          .id = every_byte() + "id",
                          .image = every_byte() + "image",
                          .source = "qemu -name",
                          .vm = UINT64_MAX - 3,
                          .pid = UINT32_MAX,
                          .ended = true});
    s.sched.times.push_back({.owner = {.cgroup_id = 9, .vm = UINT64_MAX},
                             .about = std::string(kNeighbour),
                             .culprit = {.kthread = every_byte()},
                             .time = test::histogram({{1, 1}, {UINT64_MAX / 2, 1}})});
    s.sched.open.push_back({.wait_ns = UINT64_MAX,
                            .cgroup_id = 5,
                            .vm = UINT64_MAX - 4,
                            .tid = UINT32_MAX,
                            .tgid = 4,
                            .comm = every_byte(),
                            .parts = {{.about = std::string(kNeighbour),
                                       .culprit = {.cgroup_id = 1, .vm = 2},
                                       .ns = UINT64_MAX}}});
    s.quotas = {{.cgroup_id = UINT64_MAX - 5,
                 .quota = CpuQuota{.quota_us = 11, .period_us = 12, .burst_us = 13},
                 .changed = true,
                 .counts = {.periods = 14,
                            .throttled = 15,
                            .throttled_ns = UINT64_MAX - 6,
                            .bursts = 16,
                            .burst_ns = 17}},
                {.cgroup_id = 18}};
    s.runq = {.cpus = {{.cpu = 1, .samples = 2, .sum = 3, .cut = 4, .lengths = {{5, 6}, {7, 8}}}},
              .owners = {{.owner = {.cgroup_id = UINT64_MAX - 7, .vm = UINT64_MAX - 8},
                          .cpu = 9,
                          .seen = 10,
                          .sum = 11}}};
    s.stacks = {.min_ns = 1,
                .max_ns = UINT64_MAX,
                .frames = {"main", every_byte()},
                .ended = {{.owner = {.cgroup_id = 3, .vm = 4},
                           .tgid = UINT32_MAX,
                           .comm = every_byte(),
                           .reason = "lock",
                           .user = {1, 0},
                           .kernel = {0},
                           .tid = 5,
                           .count = 6,
                           .ns = UINT64_MAX,
                           .max_ns = 7}},
                .open = {{.owner = {.kthread = every_byte()}, .tid = UINT32_MAX}}};
    StateTimes times{.lived = UINT64_MAX, .stolen = 1, .utime = 2, .stime = 3, .gtime = 4};
    times.ns.fill(UINT64_MAX - 9);
    s.states = {.owners = {{.owner = {.cgroup_id = 5, .vm = 6}, .threads = 7, .times = times}},
                .threads = {{.owner = {.kthread = every_byte()},
                             .tid = UINT32_MAX,
                             .tgid = 8,
                             .comm = every_byte(),
                             .times = times}}};
    const ExitParts parts{.kernel = 12, .vmm = 13, .blocked = 14, .waited = UINT64_MAX - 12};
    s.kvm = {.flavour = "kvm_amd",
             .tells_exits = false,
             .vcpus = {{.vm = UINT64_MAX - 10,
                        .tid = UINT32_MAX,
                        .guest_ns = 1,
                        .open = OpenExit{.ns = 2, .code = UINT64_MAX, .isa = 3, .in_vmm = true},
                        .carried = OpenExit{.ns = UINT64_MAX, .code = 4, .isa = UINT32_MAX}},
                       {.vm = 5, .tid = 6, .guest_ns = UINT64_MAX}},
             .threads = {{.vm = UINT64_MAX - 11, .tid = UINT32_MAX, .role = every_byte()}},
             .figures = {{.vm = 1,
                          .tid = UINT32_MAX,
                          .kind = 3,
                          .code = UINT64_MAX,
                          .isa = 5,
                          .flags = 6,
                          .count = 7,
                          .to_vmm = 8,
                          .amount = 9,
                          .parts = parts,
                          .time = test::histogram({{15, 16}, {UINT64_MAX / 4, 2}})},
                         {.vm = UINT64_MAX}},
             .memory = {{.vm = 1,
                         .rss_bytes = 2,
                         .swapped_bytes = 3,
                         .shared_bytes = 4,
                         .minor_faults = 5,
                         .major_faults = 6,
                         .reclaimed_bytes = 7,
                         .stalled_ns = UINT64_MAX}}};
    uint64_t count = 100;
    for (const LossCounter& counter : loss_counters())
        s.loss.*counter.count = count++;
    s.loss.fallbacks = {"one", "two: \"quoted\" ünïcödé"};
    s.overhead = {.timed = true,
                  .programs = {{.name = "a", .run_cnt = 1, .run_time_ns = 2},
                               {.name = "b", .run_cnt = 3, .run_time_ns = 4}},
                  .cpu_ns = 5,
                  .rss_bytes = 6,
                  .startup_ns = 7};
    return s;
}

TEST(Snapshot, LoadsWhatItSaved)
{
    auto snapshots = all_snapshots();
    snapshots.emplace_back("default", Snapshot{});
    snapshots.emplace_back("full", full_snapshot());
    snapshots.emplace_back("kvm", test::kvm_snapshot());
    snapshots.emplace_back("block", test::block_snapshot());
    snapshots.emplace_back("memory", test::memory_snapshot());
    snapshots.emplace_back("tcp", test::tcp_snapshot());
    snapshots.emplace_back("irq", test::irq_snapshot());
    snapshots.emplace_back("drops", test::drop_snapshot());
    snapshots.emplace_back("netq", test::netq_snapshot());
    for (const auto& [name, snapshot] : snapshots) {
        const std::string saved = save_snapshot(snapshot);
        const auto loaded = load_snapshot(saved);
        ASSERT_TRUE(loaded) << name << ": " << loaded.error().message();
        EXPECT_TRUE(*loaded == snapshot) << name;
        EXPECT_EQ(save_snapshot(*loaded), saved) << name;
    }
}

// A fuzzer that starts from snapshots of another format finds little.
TEST(Snapshot, SeedsOfTheFuzzerAreSnapshots)
{
    auto snapshots = all_snapshots();
    snapshots.emplace_back("kvm", test::kvm_snapshot());
    snapshots.emplace_back("block", test::block_snapshot());
    snapshots.emplace_back("memory", test::memory_snapshot());
    snapshots.emplace_back("tcp", test::tcp_snapshot());
    snapshots.emplace_back("irq", test::irq_snapshot());
    snapshots.emplace_back("drops", test::drop_snapshot());
    snapshots.emplace_back("netq", test::netq_snapshot());
    for (const auto& [name, snapshot] : snapshots)
        test::expect_golden("../../fuzz/corpus/snapshot/" + name, save_snapshot(snapshot));
}

TEST(Snapshot, KeepsEveryLossCounter)
{
    for (const LossCounter& counter : loss_counters()) {
        Snapshot snapshot;
        snapshot.loss.*counter.count = UINT64_MAX;
        const auto loaded = load_snapshot(save_snapshot(snapshot));
        ASSERT_TRUE(loaded);
        EXPECT_EQ((*loaded).loss.*counter.count, UINT64_MAX) << counter.key;
    }
}

TEST(Snapshot, EveryLossCounterIsListed)
{
    // All members of Loss but `fallbacks` are counters: the list has them all, and each once.
    EXPECT_EQ(loss_counters().size(),
              (sizeof(Loss) - sizeof(std::vector<std::string>)) / sizeof(uint64_t));
    Loss loss;
    EXPECT_TRUE(loss.clean());
    for (const LossCounter& counter : loss_counters()) {
        EXPECT_EQ(loss.*counter.count, 0u) << "twice: " << counter.key;
        loss.*counter.count = 1;
        EXPECT_FALSE(loss.clean()) << counter.key;
    }
    Loss fallback;
    fallback.fallbacks = {"x"};
    EXPECT_FALSE(fallback.clean());
}

TEST(Snapshot, ALoadedOneGivesTheSameReport)
{
    for (const auto& [name, snapshot] : all_snapshots()) {
        const auto loaded = load_snapshot(save_snapshot(snapshot));
        ASSERT_TRUE(loaded) << name;
        for (const size_t top : {0U, 2U}) {
            const ToolOptions as_text{.top = top};
            const ToolOptions as_json{.top = top, .json = true};
            const TextStyle style{.utf8 = true};
            EXPECT_EQ(render_text(test::report_of(*loaded, as_text), style, true),
                      render_text(test::report_of(snapshot, as_text), style, true))
                << name;
            EXPECT_EQ(render_json(test::report_of(*loaded, as_json), true),
                      render_json(test::report_of(snapshot, as_json), true))
                << name;
        }
    }
}

TEST(Snapshot, IsOneLineOfJson)
{
    const std::string saved = save_snapshot(full_snapshot());
    EXPECT_EQ(saved.find('\n'), std::string::npos);
    EXPECT_TRUE(json::accept(saved));
}

TEST(Snapshot, TruncatedAnywhereItIsDamaged)
{
    const std::string saved = save_snapshot(test::waiting_snapshot());
    for (size_t length = 0; length < saved.size(); length++) {
        const auto loaded = load_snapshot(std::string_view(saved).substr(0, length));
        ASSERT_FALSE(loaded) << length;
        EXPECT_EQ(loaded.error().exit, ExitCode::kFailed);
    }
}

TEST(Snapshot, FlippedBytesAreAnErrorOrAnotherSnapshot)
{
    const std::string saved = save_snapshot(test::waiting_snapshot());
    std::mt19937 random(17); // NOLINT: the same damage each time
    size_t valid = 0;
    for (size_t i = 0; i < saved.size(); i++) {
        std::string damaged = saved;
        for (size_t flips = 1 + i % 3; flips > 0; flips--)
            damaged[flips == 1 ? i : random() % saved.size()] ^=
                static_cast<char>(1U << random() % 8);
        const auto loaded = load_snapshot(damaged);
        if (!loaded)
            continue;
        valid++;
        const auto again = load_snapshot(save_snapshot(*loaded));
        ASSERT_TRUE(again) << i;
        ASSERT_TRUE(*again == *loaded) << i;
    }
    EXPECT_GT(valid, 10u);
}

TEST(Snapshot, RefusesForeignFormats)
{
    for (const char* text :
         {"", " ", "null", "true", "1", "[]", "{}", "\"vtrace-snapshot/1\"", "{\"format\":null}",
          "{\"format\":1}", "{\"format\":\"\"}", "{\"format\":\"other\"}",
          "{\"format\":\"vtrace-snapshot/1\"}",
          "\x7f"
          "ELF",
          "{\"format\":\"vtrace-snapshot/1\"", "PK\x03\x04", "\xff\xfe{\0}\0", "[[[[[[[["}) {
        const auto loaded = load_snapshot(text);
        EXPECT_FALSE(loaded) << text;
    }
}

TEST(Snapshot, RefusesAFutureVersionAndSaysSo)
{
    for (const char* version : {"vtrace-snapshot/2", "vtrace-snapshot/10", "vtrace-snapshot/1.1"}) {
        json document = json::parse(save_snapshot(full_snapshot()));
        document["format"] = version;
        const auto loaded = load_snapshot(document.dump());
        ASSERT_FALSE(loaded) << version;
        EXPECT_THAT(loaded.error().message(), HasSubstr("version"));
    }
}

TEST(Snapshot, SurvivesDeepNesting)
{
    for (const char* bracket : {"[", "{\"a\":"}) {
        std::string deep;
        for (int i = 0; i < 50'000; i++)
            deep += bracket;
        EXPECT_FALSE(load_snapshot(deep));
    }
    EXPECT_FALSE(load_snapshot(std::string(50'000, '[') + std::string(50'000, ']')));
}

TEST(Snapshot, RefusesMissingAndMistypedFields)
{
    const json good = json::parse(save_snapshot(full_snapshot()));
    ASSERT_TRUE(load_snapshot(good.dump()));
    for (const auto& [key, value] : good.items()) {
        json without = good;
        without.erase(key);
        EXPECT_FALSE(load_snapshot(without.dump())) << "without " << key;
        for (const json& other : {json(nullptr), json("text"), json(true), json::array({1})}) {
            json mistyped = good;
            mistyped[key] = other;
            EXPECT_FALSE(load_snapshot(mistyped.dump())) << key << " as " << other.dump();
        }
    }
}

// What save_snapshot did not write is refused, not bent into something that fits.
TEST(Snapshot, RefusesNumbersOutOfRange)
{
    const json good = json::parse(save_snapshot(full_snapshot()));
    const std::pair<const char*, json> changes[] = {
        {"/duration_ns", -1},
        {"/duration_ns", 1.5},
        {"/duration_ns", 1e300},
        {"/start_ns", 1.5},
        {"/start_ns", -1},
        {"/start_ns", INT64_MAX - 76}, // the end is out of range
        {"/start_ns", UINT64_MAX},
        {"/sched/open/0/3", uint64_t{UINT32_MAX} + 1}, // a tid
        {"/sched/open/0/3", -1},
        {"/sched/open/0/4", true},
        {"/sched/times/0/3/sum", -1},
        {"/sched/times/0/3/max", 0.5},
        {"/sched/times/0/3/buckets/0/0", VT_HIST_BUCKETS},
        {"/sched/times/0/3/buckets/0/0", (uint64_t{1} << 32) + 1},
        {"/sched/times/0/3/buckets/0/0", -1},
        {"/sched/times/0/3/buckets/0/1", 0},
        {"/sched/times/0/3/buckets/0/1", -1},
        {"/cgroups/cgroups/0/0", -1},
        {"/loss/map_full", -1},
        {"/overhead/rss_bytes", 1e300},
    };
    for (const auto& [where, value] : changes) {
        json changed = good;
        changed.at(json::json_pointer(where)) = value;
        EXPECT_FALSE(load_snapshot(changed.dump())) << where << " = " << value.dump();
    }
}

TEST(Snapshot, RefusesDamagedKvm)
{
    const json good = json::parse(save_snapshot(full_snapshot()));
    const uint64_t too_large = uint64_t{UINT32_MAX} + 1;
    const std::pair<const char*, json> changes[] = {
        {"/kvm/flavour", 1},
        {"/kvm/flavour", nullptr},
        {"/kvm/tells_exits", 1},
        {"/kvm/tells_exits", "true"},
        {"/kvm/vcpus", 1},
        {"/kvm/vcpus/0", json::array()},
        {"/kvm/vcpus/0/0", -1},
        {"/kvm/vcpus/0/1", too_large}, // a tid
        {"/kvm/vcpus/0/2", 0.5},
        {"/kvm/vcpus/0/3", 1},
        {"/kvm/vcpus/0/3", true},
        {"/kvm/vcpus/0/3", json::array({1, 2, 3})},
        {"/kvm/vcpus/0/3/0", -1},
        {"/kvm/vcpus/0/3/1", "hlt"},
        {"/kvm/vcpus/0/3/2", too_large},
        {"/kvm/vcpus/0/3/3", 1},
        {"/kvm/vcpus/0/4", "open"},
        {"/kvm/vcpus/1/4", json::array()},
        {"/kvm/threads", "none"},
        {"/kvm/threads/0/0", -1},
        {"/kvm/threads/0/1", too_large},
        {"/kvm/threads/0/2", nullptr},
        {"/kvm/threads/0/2", "\u0100"}, // no bytes
        {"/kvm/figures", true},
        {"/kvm/figures/0", json::object()},
        {"/kvm/figures/0/0", -1},
        {"/kvm/figures/0/1", too_large},
        {"/kvm/figures/0/2", -1},
        {"/kvm/figures/0/2", too_large},
        {"/kvm/figures/0/3", 1e300},
        {"/kvm/figures/0/4", too_large},
        {"/kvm/figures/0/5", -1},
        {"/kvm/figures/0/6", "7"},
        {"/kvm/figures/0/7", -1},
        {"/kvm/figures/0/8", nullptr},
        {"/kvm/figures/0/9", -1},
        {"/kvm/figures/0/10", 0.5},
        {"/kvm/figures/0/11", true},
        {"/kvm/figures/0/12", -1},
        {"/kvm/figures/0/13", nullptr},
        {"/kvm/figures/0/13/sum", -1},
        {"/kvm/figures/0/13/buckets/0/0", VT_HIST_BUCKETS},
        {"/kvm/figures/0/13/buckets/0/1", 0},
        {"/kvm/memory", 1},
        {"/kvm/memory/0/0", -1},
        {"/kvm/memory/0/1", true},
        {"/kvm/memory/0/3", 0.5},
        {"/kvm/memory/0/7", -1},
        {"/kvm/memory/0", json::array({1, 2, 3, 4, 5, 6, 7})},
    };
    for (const auto& [where, value] : changes) {
        json changed = good;
        changed.at(json::json_pointer(where)) = value;
        EXPECT_FALSE(load_snapshot(changed.dump())) << where << " = " << value.dump();
    }
    for (const char* key : {"flavour", "tells_exits", "vcpus", "threads", "figures", "memory"}) {
        json without = good;
        without.at("kvm").erase(key);
        EXPECT_FALSE(load_snapshot(without.dump())) << "without " << key;
    }
}

TEST(Snapshot, RefusesDamagedBlock)
{
    const json good = json::parse(save_snapshot(test::block_snapshot()));
    const uint64_t too_large = uint64_t{UINT32_MAX} + 1;
    const std::pair<const char*, json> changes[] = {
        {"/block/figures", 1},
        {"/block/figures/0/0", nullptr},
        {"/block/figures/0/0/0", 1},
        {"/block/figures/0/0/1", too_large}, // a disk
        {"/block/figures/0/0/3", -1},
        {"/block/figures/0/1", -1},
        {"/block/figures/0/9", 0.5},
        {"/block/figures/0/10", json::array({1})}, // sizes
        {"/block/figures/0/13", nullptr},
        {"/block/figures/0/12/buckets/0/1", 0},
        {"/block/devices/0/0", too_large},
        {"/block/devices/0/1", 5},
        {"/block/devices/0/2", 1},
        {"/block/open/0/3", -1},
        {"/block/open/0/5", 0},
        {"/block/samples", -1},
        {"/block/companies/0/0", too_large},
        {"/block/companies/0/1", -1},
        {"/block/companies/0/2/0/1", "7"},
        {"/block/companies/0/2/0/3", 1},
        {"/block/limits/0/1", too_large},
        {"/block/limits/0/5", true},
        {"/block/asked_for", 1},
        {"/block/figures/0/14", -1},
        {"/block/with_descendants/0", "44"},
    };
    for (const auto& [where, value] : changes) {
        json changed = good;
        changed.at(json::json_pointer(where)) = value;
        EXPECT_FALSE(load_snapshot(changed.dump())) << where << " = " << value.dump();
    }
    for (const char* key : {"figures", "devices", "open", "samples", "companies", "limits",
                            "asked_for", "with_descendants"}) {
        json without = good;
        without.at("block").erase(key);
        EXPECT_FALSE(load_snapshot(without.dump())) << "without " << key;
    }
}

TEST(Snapshot, RefusesDamagedTcp)
{
    const json good = json::parse(save_snapshot(test::tcp_snapshot()));
    const uint64_t too_large = uint64_t{UINT32_MAX} + 1;
    const std::pair<const char*, json> changes[] = {
        {"/tcp/key/0", 1},
        {"/tcp/key/3", -1},
        {"/tcp/figures", 7},
        {"/tcp/figures/0/peer/0", nullptr},
        {"/tcp/figures/0/peer/1", 10},
        {"/tcp/figures/0/peer/3", 65'536},
        {"/tcp/figures/0/peer/4", 256},
        {"/tcp/figures/0/peer/5", 0},
        {"/tcp/figures/0/connected", -1},
        {"/tcp/figures/0/failed", json::array({1, 2})},
        {"/tcp/figures/0/volume/4", nullptr},
        {"/tcp/figures/0/connect", nullptr},
        {"/tcp/figures/1/again/0/0", too_large},
        {"/tcp/figures/1/again/0/2", 0.5},
        {"/tcp/connecting/0/1", too_large},
        {"/tcp/connecting/0/2", 5},
        {"/tcp/connecting/0/3", "7"},
    };
    for (const auto& [where, value] : changes) {
        json changed = good;
        changed.at(json::json_pointer(where)) = value;
        EXPECT_FALSE(load_snapshot(changed.dump())) << where << " = " << value.dump();
    }
    for (const char* key : {"key", "figures", "connecting"}) {
        json without = good;
        without.at("tcp").erase(key);
        EXPECT_FALSE(load_snapshot(without.dump())) << "without " << key;
    }
}

TEST(Snapshot, RefusesDamagedInterrupts)
{
    const json good = json::parse(save_snapshot(test::irq_snapshot()));
    const std::pair<const char*, json> changes[] = {
        {"/irq/times", 1},
        {"/irq/times/0/0/0", 1},
        {"/irq/times/0/0/2", -1},
        {"/irq/times/0/0/3", 5},
        {"/irq/times/0/1", uint64_t{UINT32_MAX} + 1},
        {"/irq/times/0/2", -1},
        {"/irq/times/0/3", nullptr},
        {"/irq/charges/0/1", 0},
        {"/irq/charges/0/2", 7},
        {"/irq/charges/0/4", 0.5},
    };
    for (const auto& [where, value] : changes) {
        json changed = good;
        changed.at(json::json_pointer(where)) = value;
        EXPECT_FALSE(load_snapshot(changed.dump())) << where << " = " << value.dump();
    }
    for (const char* key : {"times", "charges"}) {
        json without = good;
        without.at("irq").erase(key);
        EXPECT_FALSE(load_snapshot(without.dump())) << "without " << key;
    }
}

TEST(Snapshot, RefusesDamagedDrops)
{
    const json good = json::parse(save_snapshot(test::drop_snapshot()));
    const uint64_t too_large = uint64_t{UINT32_MAX} + 1;
    const std::pair<const char*, json> changes[] = {
        {"/drops/drops", 1},
        {"/drops/drops/0/0", -1},
        {"/drops/drops/0/1", too_large},
        {"/drops/drops/0/2", 5},
        {"/drops/drops/0/3", nullptr},
        {"/drops/drops/0/4", too_large},
        {"/drops/drops/0/5", 7},
        {"/drops/drops/0/6", 65'536},
        {"/drops/drops/0/7", 256},
        {"/drops/drops/0/8", 256},
        {"/drops/drops/0/9", -1},
        {"/drops/drops/0/10", nullptr},
        {"/drops/listeners/0/0", too_large},
        {"/drops/listeners/0/1", -1},
        {"/drops/listeners/0/2", nullptr},
        {"/drops/namespaces/0/0", too_large},
        {"/drops/namespaces/0/1", 1},
        {"/drops/namespaces/0/2", "1"},
        {"/drops/namespaces/0/3", nullptr},
        {"/drops/other/0", -1},
        {"/drops/other/1", 0.5},
    };
    for (const auto& [where, value] : changes) {
        json changed = good;
        changed.at(json::json_pointer(where)) = value;
        EXPECT_FALSE(load_snapshot(changed.dump())) << where << " = " << value.dump();
    }
    for (const char* key : {"drops", "listeners", "namespaces", "other"}) {
        json without = good;
        without.at("drops").erase(key);
        EXPECT_FALSE(load_snapshot(without.dump())) << "without " << key;
    }
}

TEST(Snapshot, RefusesDamagedNetq)
{
    const json good = json::parse(save_snapshot(test::netq_snapshot()));
    const uint64_t too_large = uint64_t{UINT32_MAX} + 1;
    const std::pair<const char*, json> changes[] = {
        {"/netq/devices", 1},
        {"/netq/devices/0/0/0", too_large},
        {"/netq/devices/0/0/1", -1},
        {"/netq/devices/0/1", nullptr},
        {"/netq/devices/0/2", 7},
        {"/netq/devices/0/3", 7},
        {"/netq/devices/0/4", nullptr},
        {"/netq/devices/0/5", too_large},
        {"/netq/devices/0/6", -1},
        {"/netq/devices/1/7/5", -1},
        {"/netq/devices/1/7", "none"},
        {"/netq/devices/0/8", -1},
        {"/netq/devices/0/9", 0.5},
        {"/netq/devices/0/10", nullptr},
        {"/netq/devices/0/11", 1},
        {"/netq/devices/0/12", nullptr},
        {"/netq/devices/0/13", nullptr},
        {"/netq/devices/0/14", nullptr},
        {"/netq/devices/0/15", 1},
        {"/netq/devices/0/16", -1},
        {"/netq/hops/0/0/1", 3},
        {"/netq/hops/0/1/0/0", too_large},
        {"/netq/hops/0/2", 5},
        {"/netq/hops/0/3", 5},
        {"/netq/namespaces/0/1", 1},
    };
    for (const auto& [where, value] : changes) {
        json changed = good;
        changed.at(json::json_pointer(where)) = value;
        EXPECT_FALSE(load_snapshot(changed.dump())) << where << " = " << value.dump();
    }
    for (const char* key : {"devices", "hops", "namespaces"}) {
        json without = good;
        without.at("netq").erase(key);
        EXPECT_FALSE(load_snapshot(without.dump())) << "without " << key;
    }
}

TEST(Snapshot, RefusesDamagedMemory)
{
    const json good = json::parse(save_snapshot(test::memory_snapshot()));
    const uint64_t too_large = uint64_t{UINT32_MAX} + 1;
    const std::pair<const char*, json> changes[] = {
        {"/memory/stalls", 1},
        {"/memory/stalls/0/0", nullptr},
        {"/memory/stalls/0/1", too_large},
        {"/memory/stalls/0/2", -1},
        {"/memory/stalls/0/3", nullptr},
        {"/memory/open/0/2", -1},
        {"/memory/open/0/4", 5},
        {"/memory/kills/0/0", -1},
        {"/memory/kills/0/1", 7},
        {"/memory/kills/0/4", too_large},
        {"/memory/kills/0/7", nullptr},
        {"/memory/cgroups/0/0", "42"},
        {"/memory/cgroups/0/1", 0.5},
        {"/memory/cgroups/0/2/4", nullptr},
        {"/memory/host/0", true},
    };
    for (const auto& [where, value] : changes) {
        json changed = good;
        changed.at(json::json_pointer(where)) = value;
        EXPECT_FALSE(load_snapshot(changed.dump())) << where << " = " << value.dump();
    }
    for (const char* key : {"stalls", "open", "kills", "cgroups", "host"}) {
        json without = good;
        without.at("memory").erase(key);
        EXPECT_FALSE(load_snapshot(without.dump())) << "without " << key;
    }
}

TEST(Snapshot, RefusesBucketsOutOfOrder)
{
    json document = json::parse(save_snapshot(full_snapshot()));
    for (const json& buckets : {json::array({{5, 1}, {4, 1}}), json::array({{5, 1}, {5, 1}}),
                                json::array({json::array({5})}), json::array({5}),
                                json::array({json::array()}), json("[]")}) {
        document["sched"]["times"][0][3]["buckets"] = buckets;
        EXPECT_FALSE(load_snapshot(document.dump())) << buckets.dump();
    }
    document["sched"]["times"][0][3]["buckets"] = json::array({{4, 1}, {5, 1}});
    EXPECT_TRUE(load_snapshot(document.dump()));
}

TEST(Snapshot, RefusesNamesThatAreNoBytes)
{
    for (const char* name : {"\u0100", "€", "🐧", "a\u0100"}) {
        json document = json::parse(save_snapshot(full_snapshot()));
        document["host"]["name"] = name;
        EXPECT_FALSE(load_snapshot(document.dump())) << name;
    }
}

} // namespace
} // namespace vtrace
