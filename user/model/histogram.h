// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "vtrace/histogram.h"

#include <cstdint>
#include <vector>

namespace vtrace {

// A value range in ns, [low, high). high is UINT64_MAX for the last bucket.
struct BucketRange {
    uint64_t low;
    uint64_t high;
};

// `index` is below VT_HIST_BUCKETS; a larger one stands for the last bucket.
BucketRange bucket_range(uint32_t index);

struct BucketCount {
    uint32_t index; // below VT_HIST_BUCKETS
    uint64_t count; // above 0
    bool operator==(const BucketCount&) const = default;
};

// A log-linear histogram of times in ns, as include/vtrace/histogram.h describes it. Only buckets with
// a count are kept: most of thousands of cgroups have few.
struct Histogram {
    // The relative error of a quantile of 128 ns or more; below, it is at most 8 ns.
    static constexpr double kErrorBound = 1.0 / 16;

    std::vector<BucketCount> buckets; // by index, ascending
    uint64_t sum = 0;                 // exact
    uint64_t max = 0;                 // exact

    void add(uint64_t ns);
    void merge(const Histogram& other);

    [[nodiscard]] uint64_t count() const;
    // In whole ns; 0 of an empty one.
    [[nodiscard]] uint64_t mean() const;
    // The nearest-rank quantile (q in 0 … 1): the middle of the bucket that holds it, at most max. One in
    // the last bucket (68.7 s or more), which has no upper edge, is given as max: an upper bound.
    // 0 of an empty histogram.
    [[nodiscard]] uint64_t quantile(double q) const;

    bool operator==(const Histogram&) const = default;
};

} // namespace vtrace
