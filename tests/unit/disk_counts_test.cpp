// SPDX-License-Identifier: GPL-2.0-only
#include "collect/disk_counts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vtrace {
namespace {

using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr uint32_t kLoop0 = 7U << 20;

// As Linux 6.18 prints it: reads, writes, discards, flushes.
constexpr const char* kText = "   7       0 loop0 10 1 80 3 20 2 160 5 0 8 11 4 0 2048 1 6 2\n"
                              " 259      17 nvme0n1p17 1 0 8 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

TEST(DiskCounts, AddsUpKinds)
{
    EXPECT_THAT(
        disk_counts(kText),
        UnorderedElementsAre(Pair(kLoop0, DiskCount{.name = "loop0",
                                                    .ios = 10 + 20 + 4 + 6,
                                                    .bytes = (80UL + 160 + 2'048) * 512,
                                                    .ns = (3UL + 5 + 1 + 2) * 1'000'000}),
                             Pair((259U << 20) + 17,
                                  DiskCount{.name = "nvme0n1p17", .ios = 1, .bytes = 8UL * 512})));
}

TEST(DiskCounts, WithoutDiscardsAndFlushes)
{
    const auto counts = disk_counts("8 0 sda 1 0 8 2 3 0 24 4 0 5 6\n");
    ASSERT_EQ(counts.size(), 1U);
    EXPECT_EQ(counts.begin()->second.ios, 4U);
    EXPECT_EQ(counts.begin()->second.bytes, 32U * 512);
}

TEST(DiskCounts, LeavesOutWhatIsNotAsKnown)
{
    for (const char* text : {"", "\n", "8 0 sda", "8 x sda 1 0 8 2 3 0 24 4 0 5 6",
                             "8 0 sda -1 0 8 2 3 0 24 4 0 5 6", "8 0 sda 1 0 8 2 3 0 2.4 4 0 5 6"})
        EXPECT_THAT(disk_counts(text), IsEmpty()) << text;
}

} // namespace
} // namespace vtrace
