// SPDX-License-Identifier: GPL-2.0-only
#include "collect/histogram_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace vtrace {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint32_t kMost = std::numeric_limits<uint32_t>::max();
constexpr uint32_t kLastBucket = VT_HIST_BUCKETS - 1;

// What the kernel has after these values.
vt_hist hist_of(const std::vector<uint64_t>& values)
{
    vt_hist hist{};
    for (const uint64_t value : values) {
        hist.sum += value;
        hist.buckets[vt_hist_bucket(value)]++;
    }
    return hist;
}

Histogram with_bucket(uint32_t index)
{
    return {.buckets = {{.index = index, .count = 1}}};
}

TEST(HistogramTotals, OfOne)
{
    HistogramTotals totals;
    totals.add(hist_of({5, 6, 1000}));
    EXPECT_EQ(totals.sum, 1011u);
    EXPECT_EQ(totals.buckets[vt_hist_bucket(5)], 2u);
    EXPECT_EQ(totals.buckets[vt_hist_bucket(1000)], 1u);
}

TEST(HistogramTotals, OfSeveralAreTheirSum)
{
    HistogramTotals one_by_one;
    one_by_one.add(hist_of({5, 1000}));
    one_by_one.add(hist_of({7, uint64_t{1} << 40}));
    HistogramTotals together;
    together.add(hist_of({5, 1000, 7, uint64_t{1} << 40}));
    EXPECT_EQ(one_by_one.sum, together.sum);
    EXPECT_EQ(one_by_one.buckets, together.buckets);
}

// The counts of many CPUs wrap in their sum as each does by itself.
TEST(HistogramTotals, WrapAsTheKernelDoes)
{
    vt_hist hist{};
    hist.buckets[3] = kMost;
    HistogramTotals totals;
    totals.add(hist);
    totals.add(hist);
    EXPECT_EQ(totals.buckets[3], kMost - 1);
}

TEST(HistogramSince, NothingCame)
{
    HistogramTotals totals;
    totals.add(hist_of({5, 1000}));
    const Histogram added = totals.since(totals);
    EXPECT_THAT(added.buckets, IsEmpty());
    EXPECT_EQ(added.sum, 0u);
    EXPECT_EQ(added.max, 0u);
}

TEST(HistogramSince, TheBeginningIsAll)
{
    HistogramTotals totals;
    totals.add(hist_of({0, 0, uint64_t{1} << 40}));
    const Histogram added = totals.since({});
    EXPECT_THAT(added.buckets, ElementsAre(BucketCount{0, 2}, BucketCount{kLastBucket, 1}));
    EXPECT_EQ(added.sum, uint64_t{1} << 40);
}

TEST(HistogramSince, OnlyWhatCameByIndex)
{
    HistogramTotals before;
    before.add(hist_of({5, 1000}));
    HistogramTotals now = before;
    now.add(hist_of({2000, 1000, 40, 40}));
    const Histogram added = now.since(before);
    EXPECT_THAT(added.buckets, ElementsAre(BucketCount{vt_hist_bucket(40), 2},
                                           BucketCount{vt_hist_bucket(1000), 1},
                                           BucketCount{vt_hist_bucket(2000), 1}));
    EXPECT_EQ(added.sum, 3080u);
    EXPECT_EQ(added.count(), 4u);
    EXPECT_EQ(added.max, 0u) << "that of an epoch is elsewhere";
}

TEST(HistogramSince, ACountMayWrap)
{
    HistogramTotals before;
    before.buckets[3] = kMost;
    HistogramTotals now;
    now.buckets[3] = 1;
    EXPECT_THAT(now.since(before).buckets, ElementsAre(BucketCount{3, 2}));
    before.buckets[3] = 1;
    now.buckets[3] = 0;
    EXPECT_THAT(now.since(before).buckets, ElementsAre(BucketCount{3, kMost}));
}

TEST(HistogramSince, ASumMayWrap)
{
    HistogramTotals before;
    before.sum = std::numeric_limits<uint64_t>::max();
    HistogramTotals now;
    now.sum = 9;
    EXPECT_EQ(now.since(before).sum, 10u);
}

TEST(MaxIn, IsOfItsEpochOnly)
{
    vt_hist hist{};
    hist.epoch[0] = 8;
    hist.max[0] = 800;
    hist.epoch[1] = 7;
    hist.max[1] = 700;
    EXPECT_EQ(max_in(hist, 8), 800u);
    EXPECT_EQ(max_in(hist, 7), 700u);
    EXPECT_EQ(max_in(hist, 9), 0u) << "9 has the place of 7";
    EXPECT_EQ(max_in(hist, 6), 0u);
}

TEST(MaxIn, TheEpochMayWrap)
{
    vt_hist hist{};
    hist.epoch[1] = kMost;
    hist.max[1] = 5;
    hist.epoch[0] = 0;
    hist.max[0] = 6;
    EXPECT_EQ(max_in(hist, kMost), 5u);
    EXPECT_EQ(max_in(hist, kMost + 1), 6u);
}

TEST(MaxOf, NothingIsNothing)
{
    EXPECT_EQ(max_of({}, 0, 0), 0u);
    EXPECT_EQ(max_of({}, 500, 700), 0u) << "of events that are not counted yet";
}

TEST(MaxOf, TheEpochHasIt)
{
    const Histogram added = with_bucket(vt_hist_bucket(1000));
    EXPECT_EQ(max_of(added, 1000, 0), 1000u);
    EXPECT_EQ(max_of(added, 1000, 1001), 1000u);
}

TEST(MaxOf, TheHighestBucketIsTheOneThatCounts)
{
    Histogram added;
    added.add(1);
    added.add(1000);
    EXPECT_EQ(max_of(added, 1000, 0), 1000u);
}

TEST(MaxOf, TheNextEpochHasIt)
{
    const Histogram added = with_bucket(vt_hist_bucket(1000));
    EXPECT_EQ(max_of(added, 0, 1001), 1001u);
    EXPECT_EQ(max_of(added, 20, 1001), 1001u);
}

TEST(MaxOf, IsInTheHighestBucket)
{
    const uint32_t bucket = vt_hist_bucket(1000);
    const auto [low, high] = bucket_range(bucket);
    const Histogram added = with_bucket(bucket);
    EXPECT_EQ(max_of(added, low, high + 5), low);
    EXPECT_EQ(max_of(added, high - 1, 0), high - 1);
    EXPECT_EQ(max_of(added, high, 0), high - 1) << "of an event that is not counted yet";
    EXPECT_EQ(max_of(added, 0, high), high - 1) << "likewise, in the next epoch";
    EXPECT_EQ(max_of(added, 0, 0), low) << "neither has it";
    EXPECT_EQ(max_of(added, low - 1, low - 1), low);
}

TEST(MaxOf, TheLastBucketHasNoEnd)
{
    const Histogram added = with_bucket(kLastBucket);
    const uint64_t low = bucket_range(kLastBucket).low;
    EXPECT_EQ(max_of(added, low, 0), low);
    EXPECT_EQ(max_of(added, uint64_t{1} << 50, 0), uint64_t{1} << 50);
}

TEST(MaxOf, TheFirstBucketHasZero)
{
    EXPECT_EQ(max_of(with_bucket(0), 0, 9), 0u);
    EXPECT_EQ(max_of(with_bucket(0), 15, 0), 15u);
}

} // namespace
} // namespace vtrace
