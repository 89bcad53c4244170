// SPDX-License-Identifier: GPL-2.0-only
#include "model/histogram.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace vtrace {

BucketRange bucket_range(uint32_t index)
{
    const uint32_t bucket = std::min<uint32_t>(index, VT_HIST_BUCKETS - 1);
    constexpr uint32_t kSub = 1U << VT_HIST_SUB_SHIFT;
    const auto low_of = [](uint32_t b) -> uint64_t {
        if (b < kSub)
            return uint64_t{b} << VT_HIST_UNIT_SHIFT;
        const uint32_t shift = (b >> VT_HIST_SUB_SHIFT) - 1;
        return uint64_t{kSub + b % kSub} << (shift + VT_HIST_UNIT_SHIFT);
    };
    const uint64_t high = bucket + 1 < VT_HIST_BUCKETS ? low_of(bucket + 1) : UINT64_MAX;
    return {low_of(bucket), high};
}

void Histogram::add(uint64_t ns)
{
    merge({.buckets = {{vt_hist_bucket(ns), 1}}, .sum = ns, .max = ns});
}

void Histogram::merge(const Histogram& other)
{
    std::vector<BucketCount> merged;
    merged.reserve(buckets.size() + other.buckets.size());
    auto mine = buckets.begin();
    for (const BucketCount& theirs : other.buckets) {
        while (mine != buckets.end() && mine->index < theirs.index)
            merged.push_back(*mine++);
        merged.push_back(theirs);
        if (mine != buckets.end() && mine->index == theirs.index)
            merged.back().count += (mine++)->count;
    }
    merged.insert(merged.end(), mine, buckets.end());
    buckets = std::move(merged);
    sum += other.sum;
    max = std::max(max, other.max);
}

uint64_t Histogram::count() const
{
    uint64_t total = 0;
    for (const BucketCount& bucket : buckets)
        total += bucket.count;
    return total;
}

uint64_t Histogram::mean() const
{
    const uint64_t n = count();
    return n == 0 ? 0 : sum / n;
}

uint64_t Histogram::quantile(double q) const
{
    const uint64_t n = count();
    if (n == 0)
        return 0;
    const double rank = std::ceil(q * static_cast<double>(n));
    // A count near 2^64, from a file, has no double of its own.
    const uint64_t wanted =
        rank >= static_cast<double>(n) ? n : std::max<uint64_t>(static_cast<uint64_t>(rank), 1);
    uint64_t seen = 0;
    for (const auto& [index, count] : buckets) {
        seen += count;
        if (seen < wanted)
            continue;
        const auto [low, high] = bucket_range(index);
        const uint64_t most = std::max(max, low);
        if (high == UINT64_MAX)
            return most;
        return std::min(low + (high - low) / 2, most);
    }
    return max;
}

} // namespace vtrace
