// SPDX-License-Identifier: GPL-2.0-only
#include "model/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace vtrace {
namespace {

constexpr uint64_t kLimit = uint64_t{1} << 36; // from here on values share the last bucket

// The lower edges as the header describes them in words: eight steps of 16 ns, then eight equal
// steps in each power of two.
std::vector<uint64_t> expected_lows()
{
    std::vector<uint64_t> lows;
    for (uint64_t low = 0; low < 128; low += 16)
        lows.push_back(low);
    for (uint64_t power = 128; power < kLimit; power *= 2) {
        for (uint64_t step = 0; step < 8; step++)
            lows.push_back(power + step * (power / 8));
    }
    return lows;
}

uint64_t expected_bucket(const std::vector<uint64_t>& lows, uint64_t value)
{
    return static_cast<uint64_t>(std::ranges::upper_bound(lows, value) - lows.begin()) - 1;
}

// Values near every power of two, and the largest ones.
std::vector<uint64_t> edge_values()
{
    std::vector<uint64_t> values;
    for (unsigned bit = 0; bit < 64; bit++) {
        const uint64_t power = uint64_t{1} << bit;
        for (uint64_t distance = 0; distance <= 300; distance++) {
            values.push_back(power + distance);
            values.push_back(power - distance);
        }
        for (uint64_t eighth = 1; eighth < 8; eighth++) {
            for (const uint64_t by : {0U, 1U, 2U})
                values.insert(values.end(),
                              {power + power / 8 * eighth + by, power + power / 8 * eighth - by});
        }
    }
    for (uint64_t distance = 0; distance <= 300; distance++)
        values.push_back(UINT64_MAX - distance);
    return values;
}

TEST(Bucket, RangesAreThoseDescribed)
{
    const auto lows = expected_lows();
    ASSERT_EQ(lows.size(), size_t{VT_HIST_BUCKETS});
    for (uint32_t b = 0; b < VT_HIST_BUCKETS; b++) {
        EXPECT_EQ(bucket_range(b).low, lows[b]) << b;
        EXPECT_EQ(bucket_range(b).high, b + 1 < VT_HIST_BUCKETS ? lows[b + 1] : UINT64_MAX) << b;
    }
}

TEST(Bucket, EdgesMapToTheirBucket)
{
    for (uint32_t b = 0; b < VT_HIST_BUCKETS; b++) {
        const auto [low, high] = bucket_range(b);
        ASSERT_LT(low, high);
        EXPECT_EQ(vt_hist_bucket(low), b);
        EXPECT_EQ(vt_hist_bucket(high - 1), b);
        if (b > 0) {
            EXPECT_EQ(bucket_range(b - 1).high, low) << "a gap or an overlap before " << b;
        }
    }
    EXPECT_EQ(bucket_range(0).low, 0u);
    EXPECT_EQ(vt_hist_bucket(UINT64_MAX), VT_HIST_BUCKETS - 1u);
}

TEST(Bucket, AllValuesUpTo2To20)
{
    const auto lows = expected_lows();
    uint32_t bucket = 0;
    for (uint64_t value = 0; value <= 1 << 20; value++) {
        while (bucket + 1 < lows.size() && lows[bucket + 1] <= value)
            bucket++;
        if (vt_hist_bucket(value) != bucket)
            FAIL() << value << " is in " << vt_hist_bucket(value) << ", not in " << bucket;
    }
}

TEST(Bucket, ValuesAroundEveryPowerOfTwo)
{
    const auto lows = expected_lows();
    for (const uint64_t value : edge_values()) {
        const uint32_t bucket = vt_hist_bucket(value);
        ASSERT_EQ(bucket, expected_bucket(lows, value)) << value;
        ASSERT_GE(value, bucket_range(bucket).low);
        // The last one has no upper edge: UINT64_MAX belongs to it, too.
        ASSERT_TRUE(value < bucket_range(bucket).high || bucket == VT_HIST_BUCKETS - 1) << value;
    }
}

TEST(Bucket, IsMonotonic)
{
    auto values = edge_values();
    std::ranges::sort(values);
    uint32_t before = 0;
    for (const uint64_t value : values) {
        const uint32_t bucket = vt_hist_bucket(value);
        ASSERT_GE(bucket, before) << value;
        ASSERT_LT(bucket, uint32_t{VT_HIST_BUCKETS}) << value;
        before = bucket;
    }
}

TEST(Bucket, WidthIsAtMostAnEighthOfLow)
{
    for (uint32_t b = 0; b + 1 < VT_HIST_BUCKETS; b++) {
        const auto [low, high] = bucket_range(b);
        if (low < 128)
            EXPECT_EQ(high - low, 16u) << b;
        else
            EXPECT_LE((high - low) * 8, low) << b;
    }
}

TEST(Log2, AgreesWithBitWidth)
{
    const auto check = [](uint32_t value) {
        ASSERT_EQ(vt_log2(value), static_cast<uint32_t>(std::bit_width(value) - 1)) << value;
    };
    for (uint32_t value = 1; value < 1 << 20; value++)
        check(value);
    for (unsigned bit = 0; bit < 32; bit++) {
        for (uint32_t distance = 0; distance < 1000; distance++) {
            check((1U << bit) + distance);
            if ((1U << bit) > distance)
                check((1U << bit) - distance);
            check(~distance);
        }
    }
    std::mt19937 random(1); // NOLINT: the same values each time
    for (int i = 0; i < 1'000'000; i++)
        check(static_cast<uint32_t>(random() | 1U));
}

struct Fraction {
    uint64_t numerator;
    uint64_t denominator;
    [[nodiscard]] double value() const
    {
        return static_cast<double>(numerator) / static_cast<double>(denominator);
    }
};

constexpr Fraction kQuantiles[] = {{0, 1}, {1, 2}, {9, 10}, {99, 100}, {999, 1000}, {1, 1}};

// Nearest rank in whole numbers: the smallest value that at least that share of all is not above.
uint64_t exact_rank(uint64_t n, const Fraction& q)
{
    return std::max<uint64_t>((n * q.numerator + q.denominator - 1) / q.denominator, 1);
}

Histogram histogram_of(const std::vector<uint64_t>& samples)
{
    Histogram histogram;
    for (const uint64_t sample : samples)
        histogram.add(sample);
    return histogram;
}

void expect_close(uint64_t estimate, uint64_t exact, const std::string& what)
{
    const uint64_t error = estimate > exact ? estimate - exact : exact - estimate;
    if (exact < 128)
        EXPECT_LE(error, 8u) << what << ": " << estimate << " for " << exact;
    else
        EXPECT_LE(error * 16, exact) << what << ": " << estimate << " for " << exact;
}

using Source = std::function<uint64_t(std::mt19937_64&)>;

uint64_t clamped(double value)
{
    // Below the last bucket, whose quantiles have no bound.
    return static_cast<uint64_t>(std::clamp(value, 0.0, 64e9));
}

const std::pair<const char*, Source> kDistributions[] = {
    {"constant", [](auto&) { return 4711; }},
    {"tiny", [](auto& r) { return std::uniform_int_distribution<uint64_t>(0, 200)(r); }},
    {"uniform", [](auto& r) { return std::uniform_int_distribution<uint64_t>(0, 1'000'000)(r); }},
    {"exponential",
     [](auto& r) { return clamped(std::exponential_distribution<double>(1.0 / 50'000)(r)); }},
    {"lognormal", [](auto& r) { return clamped(std::lognormal_distribution<double>(10, 4)(r)); }},
    {"bimodal",
     [](auto& r) {
         const bool slow = std::bernoulli_distribution(0.01)(r);
         return clamped(std::normal_distribution<double>(slow ? 4e9 : 2'000, slow ? 1e9 : 500)(r));
     }},
    {"bucket edges",
     [](auto& r) {
         const auto b = std::uniform_int_distribution<uint32_t>(0, VT_HIST_BUCKETS - 2)(r);
         const auto [low, high] = bucket_range(b);
         return std::bernoulli_distribution(0.5)(r) ? low : high - 1;
     }},
};

TEST(Histogram, QuantilesAreWithinTheBound)
{
    std::mt19937_64 random(42); // NOLINT: the same samples each time
    for (const auto& [name, source] : kDistributions) {
        for (const size_t size :
             {1U, 2U, 3U, 9U, 10U, 11U, 99U, 100U, 101U, 1'000U, 1'001U, 5'000U, 50'000U}) {
            // One distribution at full size is enough for the time it takes.
            if (size > 5'000 && std::string_view(name) != "lognormal")
                continue;
            std::vector<uint64_t> samples(size);
            for (uint64_t& sample : samples)
                sample = source(random);
            const Histogram histogram = histogram_of(samples);
            std::ranges::sort(samples);
            for (const Fraction& q : kQuantiles) {
                const uint64_t exact = samples[exact_rank(size, q) - 1];
                expect_close(histogram.quantile(q.value()), exact,
                             std::string(name) + " n=" + std::to_string(size) +
                                 " q=" + std::to_string(q.value()));
            }
            EXPECT_LE(histogram.quantile(1), samples.back());
            EXPECT_EQ(histogram.max, samples.back());
            EXPECT_EQ(histogram.count(), size);
        }
    }
}

TEST(Histogram, EverySingleValueIsWithinTheBound)
{
    for (const uint64_t value : edge_values()) {
        if (value >= kLimit)
            continue;
        Histogram histogram;
        histogram.add(value);
        for (const Fraction& q : kQuantiles)
            expect_close(histogram.quantile(q.value()), value, "single");
    }
}

TEST(Histogram, RankIsExactForTheQuantilesShown)
{
    // k values in a low bucket, the rest in a high one: the answer says on which side the rank is.
    const auto split_at = [](uint64_t k, uint64_t n) {
        Histogram histogram{.sum = 0, .max = 1'000'000};
        if (k != 0)
            histogram.buckets.push_back({0, k});
        if (k != n)
            histogram.buckets.push_back({vt_hist_bucket(1'000'000), n - k});
        return histogram;
    };
    for (const Fraction& q : {Fraction{1, 2}, {9, 10}, {99, 100}, {999, 1000}}) {
        for (uint64_t n = 1; n <= 5'000; n++) {
            const uint64_t rank = exact_rank(n, q);
            ASSERT_LT(split_at(rank, n).quantile(q.value()), 16u) << q.value() << " of " << n;
            ASSERT_GT(split_at(rank - 1, n).quantile(q.value()), 900'000u)
                << q.value() << " of " << n;
        }
    }
}

TEST(Histogram, QuantilesGrowWithTheirRank)
{
    std::mt19937_64 random(7); // NOLINT
    Histogram histogram;
    for (int i = 0; i < 5'000; i++)
        histogram.add(kDistributions[4].second(random));
    uint64_t before = 0;
    for (int i = 0; i <= 1'000; i++) {
        const uint64_t value = histogram.quantile(i / 1000.0);
        ASSERT_GE(value, before) << i;
        before = value;
    }
    EXPECT_LE(before, histogram.max);
}

TEST(Histogram, KeepsSumAndMaxOfValuesBeyondTheLastBucket)
{
    Histogram histogram;
    const std::vector<uint64_t> values = {kLimit - 1, kLimit, kLimit + 12'345, 7 * kLimit};
    uint64_t sum = 0;
    for (const uint64_t value : values) {
        histogram.add(value);
        sum += value;
    }
    EXPECT_EQ(histogram.count(), values.size());
    EXPECT_EQ(histogram.sum, sum);
    EXPECT_EQ(histogram.max, 7 * kLimit);
    ASSERT_EQ(histogram.buckets.size(), 1u);
    EXPECT_EQ(histogram.buckets.front().index, VT_HIST_BUCKETS - 1u);
    for (const Fraction& q : kQuantiles) {
        EXPECT_GE(histogram.quantile(q.value()), bucket_range(VT_HIST_BUCKETS - 1).low);
        EXPECT_LE(histogram.quantile(q.value()), histogram.max);
    }
}

TEST(Histogram, TakesTheLargestValue)
{
    Histogram histogram;
    histogram.add(UINT64_MAX);
    EXPECT_EQ(histogram.count(), 1u);
    EXPECT_EQ(histogram.max, UINT64_MAX);
    EXPECT_GE(histogram.quantile(0.5), bucket_range(VT_HIST_BUCKETS - 1).low);
}

TEST(Histogram, MergeIsConcatenation)
{
    std::mt19937_64 random(3); // NOLINT
    for (const auto& [name, source] : kDistributions) {
        for (const size_t cut : {0U, 1U, 500U, 999U, 1'000U}) {
            std::vector<uint64_t> samples(1'000);
            for (uint64_t& sample : samples)
                sample = source(random);
            const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(cut);
            const Histogram front = histogram_of({samples.begin(), middle});
            const Histogram back = histogram_of({middle, samples.end()});
            Histogram merged = front;
            merged.merge(back);
            Histogram reversed = back;
            reversed.merge(front);
            EXPECT_EQ(merged, histogram_of(samples)) << name << " at " << cut;
            EXPECT_EQ(merged, reversed) << name << " at " << cut;
        }
    }
}

TEST(Histogram, MergesWithItself)
{
    Histogram histogram = histogram_of({5, 500, 50'000});
    Histogram twice = histogram_of({5, 500, 50'000, 5, 500, 50'000});
    histogram.merge(histogram);
    EXPECT_EQ(histogram, twice);
}

TEST(Histogram, KeepsBucketsSparseAndInOrder)
{
    const Histogram histogram = histogram_of({1'000'000, 3, 50'000, 3, 1'000'000, 900});
    ASSERT_EQ(histogram.buckets.size(), 4u);
    for (size_t i = 0; i < histogram.buckets.size(); i++) {
        EXPECT_GT(histogram.buckets[i].count, 0u);
        if (i > 0) {
            EXPECT_GT(histogram.buckets[i].index, histogram.buckets[i - 1].index);
        }
    }
    EXPECT_EQ(histogram.buckets.front(), (BucketCount{0, 2}));
}

TEST(Histogram, MeanIsExactInWholeNanoseconds)
{
    EXPECT_EQ(histogram_of({1, 2, 6}).mean(), 3U);
    EXPECT_EQ(histogram_of({1, 2}).mean(), 1U);
}

TEST(Histogram, EmptyOneIsAllZero)
{
    const Histogram histogram;
    EXPECT_EQ(histogram.count(), 0u);
    EXPECT_EQ(histogram.mean(), 0.0);
    for (const Fraction& q : kQuantiles)
        EXPECT_EQ(histogram.quantile(q.value()), 0u);
    Histogram merged;
    merged.merge(histogram);
    EXPECT_EQ(merged, Histogram{});
}

} // namespace
} // namespace vtrace
