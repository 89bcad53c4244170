// SPDX-License-Identifier: GPL-2.0-only
#include "entity/memory_counts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace vtrace {
namespace {

constexpr uint64_t kPage = 4'096;

// Of a QEMU, Linux 6.1.
constexpr std::string_view kStatus = "Name:\tqemu-system-x86\n"
                                     "Umask:\t0022\n"
                                     "State:\tS (sleeping)\n"
                                     "Tgid:\t4000\n"
                                     "VmPeak:\t 5033164 kB\n"
                                     "VmSize:\t 4967628 kB\n"
                                     "VmLck:\t       0 kB\n"
                                     "VmHWM:\t 1123456 kB\n"
                                     "VmRSS:\t 1048576 kB\n"
                                     "RssAnon:\t 1020000 kB\n"
                                     "VmSwap:\t   65536 kB\n"
                                     "HugetlbPages:\t       0 kB\n"
                                     "Threads:\t6\n";

constexpr std::string_view kFields =
    " S 1 4000 4000 0 -1 138412416 901234 17 321 5 123456 45678 0 0 20 0 6 0 1234567 5086850048 "
    "262144 18446744073709551615 94292159414272 94292159434153 140729208823360 0 0 0 268444224 "
    "4096 81920 0 0 0 17 1 0 0 0 0 0 94292159450160 94292159451776 94292632047616 140729208826499 "
    "140729208826519 140729208826519 140729208827883 0\n";

std::string stat_of(const std::string& name)
{
    return "4000 (" + name + ")" + std::string(kFields);
}

constexpr std::string_view kMerged = "300\n";

// Linux 6.1.
constexpr std::string_view kMemoryStat = "anon 1044480000\n"
                                         "file 20480\n"
                                         "workingset_nodereclaim 0\n"
                                         "pgscan 7000\n"
                                         "pgsteal 5000\n"
                                         "pgscan_kswapd 6000\n"
                                         "pgscan_direct 1000\n"
                                         "pgsteal_kswapd 4500\n"
                                         "pgsteal_direct 500\n"
                                         "pgfault 901555\n"
                                         "pgmajfault 321\n";

constexpr std::string_view kPressure = "some avg10=1.50 avg60=0.40 avg300=0.08 total=1234567\n"
                                       "full avg10=0.50 avg60=0.10 avg300=0.02 total=234567\n";

TEST(ProcessMemory, OfAVmm)
{
    const ProcessMemory expected{.rss_bytes = uint64_t{1} << 30,
                                 .swapped_bytes = uint64_t{64} << 20,
                                 .shared_bytes = 300 * kPage,
                                 .minor_faults = 901'234,
                                 .major_faults = 321};
    EXPECT_TRUE(process_memory(kStatus, stat_of("qemu-system-x86"), kMerged, kPage) == expected);
}

TEST(ProcessMemory, PagesOf64KiB)
{
    constexpr uint64_t kLarge = 65'536;
    const auto memory = process_memory(kStatus, stat_of("q"), kMerged, kLarge);
    EXPECT_EQ(memory.shared_bytes, 300 * kLarge);
    EXPECT_EQ(memory.rss_bytes, uint64_t{1} << 30) << "these are in KiB";
}

TEST(ProcessMemory, AnyNameOfAProcess)
{
    for (const char* name :
         {"", ")", "a b c", ") S 1 2 3", "((x) y) 1 2 3 4 5 6 7 8 9 10 11", ") ) ) )", "\n) (\n"}) {
        const auto memory = process_memory("", stat_of(name), "", kPage);
        EXPECT_EQ(memory.minor_faults, 901'234U) << name;
        EXPECT_EQ(memory.major_faults, 321U) << name;
    }
}

TEST(ProcessMemory, ANameIsNoFigure)
{
    const auto memory = process_memory("Name:\tVmRSS: 5 kB\nVmRSS:\t8 kB\n", "", "", kPage);
    EXPECT_EQ(memory.rss_bytes, 8'192U);
}

// Before 5.19 there is no ksm_merging_pages; a process that ends has no memory left.
TEST(ProcessMemory, WhatIsNotToldIsNone)
{
    EXPECT_TRUE(process_memory("", "", "", kPage) == ProcessMemory{});
    EXPECT_TRUE(process_memory("Name:\tqemu\nState:\tZ (zombie)\n", "", "", kPage) ==
                ProcessMemory{});
    const auto memory = process_memory(kStatus, stat_of("q"), "", kPage);
    EXPECT_EQ(memory.shared_bytes, std::nullopt);
    EXPECT_EQ(memory.minor_faults, 901'234U);
}

TEST(ProcessMemory, DamagedIsNone)
{
    for (const char* status :
         {"VmRSS:", "VmRSS:\t", "VmRSS:\tmany kB", "VmRSS:\t-1 kB", "vmrss:\t1 kB", " VmRSS:\t1 kB",
          "VmRSS:\t99999999999999999999 kB", "VmRSS", "VmRSSS:\t1 kB"})
        EXPECT_TRUE(process_memory(status, "", "", kPage) == ProcessMemory{}) << status;
    for (const char* stat :
         {"4000", "4000 (qemu", "4000 (qemu)", "4000 (qemu) S 1 4000 4000 0 -1 138412416 901234 17",
          "4000 qemu S 1 4000 4000 0 -1 138412416 901234 17 321 5", ")", "\n",
          "4000 (qemu) S 1 4000 4000 0 -1 138412416 x 17 y 5"})
        EXPECT_TRUE(process_memory("", stat, "", kPage) == ProcessMemory{}) << stat;
    for (const char* ksm : {"\n", "-3\n", "x", "99999999999999999999\n"})
        EXPECT_TRUE(process_memory("", "", ksm, kPage) == ProcessMemory{}) << ksm;
}

// Linux 6.12.
constexpr std::string_view kEvents = "low 0\nhigh 3\nmax 40\noom 2\noom_kill 1\noom_group_kill 0\n";

// Linux 6.18 with cgroup v1.
constexpr std::string_view kV1Stat = "cache 9293824\n"
                                     "workingset_refault_anon 1\n"
                                     "workingset_refault_file 2\n"
                                     "pgmajfault 3\n"
                                     "total_cache 1553379328\n"
                                     "total_workingset_refault_anon 10\n"
                                     "total_workingset_refault_file 32\n"
                                     "total_pgmajfault 22951\n";

constexpr std::string_view kVmstat = "nr_free_pages 100\n"
                                     "workingset_refault_anon 4\n"
                                     "workingset_refault_file 6\n"
                                     "pswpin 7\n"
                                     "pgmajfault 8\n"
                                     "oom_kill 9\n";

MemoryFiles files(std::string_view stat, std::string_view pressure = "",
                  std::string_view events = "")
{
    return {.stat = std::string(stat),
            .pressure = std::string(pressure),
            .events = std::string(events)};
}

TEST(CgroupMemory, OfV2)
{
    const std::string stat = std::string(kMemoryStat) + "workingset_refault_anon 5\n"
                                                        "workingset_refault_file 6\n"
                                                        "pswpin 9\n";
    const MemoryCounts expected{.reclaimed_bytes = 5'000 * kPage,
                                .stalled_ns = 1'234'567'000,
                                .swapped_in_bytes = 9 * kPage,
                                .refaulted_bytes = 11 * kPage,
                                .major_faults = 321,
                                .limit_hits = 43,
                                .oom_kills = 1};
    EXPECT_TRUE(cgroup_memory_v2(files(stat, kPressure, kEvents), kPage) == expected);
}

TEST(CgroupMemory, OfV1)
{
    MemoryFiles v1 = files(kV1Stat, kPressure);
    v1.failures = "805\n";
    v1.oom = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n";
    const MemoryCounts expected{.reclaimed_bytes = std::nullopt,
                                .stalled_ns = 1'234'567'000,
                                .swapped_in_bytes = std::nullopt,
                                .refaulted_bytes = 42 * kPage,
                                .major_faults = 22'951,
                                .limit_hits = 805,
                                .oom_kills = 2};
    EXPECT_TRUE(cgroup_memory_v1(v1, kPage) == expected);
}

TEST(CgroupMemory, OfTheHost)
{
    const MemoryCounts expected{.reclaimed_bytes = std::nullopt,
                                .stalled_ns = 1'234'567'000,
                                .swapped_in_bytes = 7 * kPage,
                                .refaulted_bytes = 10 * kPage,
                                .major_faults = 8,
                                .limit_hits = 0,
                                .oom_kills = 9};
    EXPECT_TRUE(host_memory(kVmstat, kPressure, kPage) == expected);
}

TEST(CgroupMemory, WhatIsNotToldIsNone)
{
    EXPECT_TRUE(cgroup_memory_v2(files(""), kPage) == MemoryCounts{});
    EXPECT_TRUE(cgroup_memory_v1(files(""), kPage) == MemoryCounts{});
    EXPECT_TRUE(host_memory("", "", kPage) == MemoryCounts{});
    EXPECT_EQ(cgroup_memory_v2(files("", kPressure), kPage).stalled_ns, 1'234'567'000U);
    // Before 5.9 there is one count of both.
    EXPECT_EQ(cgroup_memory_v2(files("workingset_refault 7\n"), kPage).refaulted_bytes,
              std::nullopt);
}

TEST(CgroupMemory, DamagedIsNone)
{
    for (const char* stat :
         {"pgsteal", "pgsteal_kswapd 4500\npgsteal_direct 500\n", "xpgsteal 5\n"})
        EXPECT_TRUE(cgroup_memory_v2(files(stat), kPage) == MemoryCounts{}) << stat;
    for (const char* stat : {"pgsteal \n", "pgsteal x\n", "pgsteal -1\n"})
        EXPECT_EQ(cgroup_memory_v2(files(stat), kPage).reclaimed_bytes, 0U) << stat;
    for (const char* pressure :
         {"some", "some \n", "some avg10=0.00 avg60=0.00 avg300=0.00\n",
          "full avg10=0.50 avg60=0.10 avg300=0.02 total=234567\n", "total=5\n"})
        EXPECT_TRUE(cgroup_memory_v2(files("", pressure), kPage) == MemoryCounts{}) << pressure;
    for (const char* pressure : {"some total=\n", "some total=x\n", "some total=-5\n"})
        EXPECT_EQ(cgroup_memory_v2(files("", pressure), kPage).stalled_ns, 0U) << pressure;
}

TEST(MemoryCounts, WhatHasShrunkIsNone)
{
    const MemoryCounts before{.reclaimed_bytes = 10,
                              .stalled_ns = std::nullopt,
                              .swapped_in_bytes = 5,
                              .refaulted_bytes = 5,
                              .major_faults = 7};
    const MemoryCounts now{.reclaimed_bytes = 30,
                           .stalled_ns = 9,
                           .swapped_in_bytes = std::nullopt,
                           .refaulted_bytes = 4,
                           .major_faults = 6,
                           .oom_kills = 2};
    const MemoryCounts expected{.reclaimed_bytes = 20,
                                .stalled_ns = std::nullopt,
                                .swapped_in_bytes = std::nullopt,
                                .refaulted_bytes = 0,
                                .oom_kills = 2};
    EXPECT_TRUE(difference(now, before) == expected);
}

} // namespace
} // namespace vtrace
