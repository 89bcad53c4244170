// SPDX-License-Identifier: GPL-2.0-only
#include "collect/histogram_reader.h"

#include "bpf/mapped_array.h"

#include <algorithm>

namespace vtrace {

void HistogramTotals::add(const vt_hist& hist)
{
    sum += load_relaxed(hist.sum);
    for (size_t b = 0; b < buckets.size(); b++)
        buckets[b] += load_relaxed(hist.buckets[b]);
}

Histogram HistogramTotals::since(const HistogramTotals& before) const
{
    Histogram added;
    for (uint32_t b = 0; b < VT_HIST_BUCKETS; b++) {
        const uint32_t count = buckets[b] - before.buckets[b];
        if (count != 0)
            added.buckets.push_back({b, count});
    }
    added.sum = sum - before.sum;
    return added;
}

uint64_t max_in(const vt_hist& hist, uint32_t epoch)
{
    return load_relaxed(hist.epoch[epoch & 1]) == epoch ? load_relaxed(hist.max[epoch & 1]) : 0;
}

uint64_t max_of(const Histogram& added, uint64_t in_epoch, uint64_t in_next)
{
    if (added.buckets.empty())
        return 0;
    const auto [low, high] = bucket_range(added.buckets.back().index);
    return std::clamp(in_epoch < low ? in_next : in_epoch, low, high - 1);
}

Histogram read_new(const vt_hist& hist, HistogramTotals& before, uint32_t epoch)
{
    HistogramTotals now;
    now.add(hist);
    Histogram added = now.since(before);
    added.max = max_of(added, max_in(hist, epoch), max_in(hist, epoch + 1));
    before = now;
    return added;
}

} // namespace vtrace
