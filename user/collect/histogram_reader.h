// SPDX-License-Identifier: GPL-2.0-only
// The reader's side of one struct vt_hist, or of several that are one histogram.
#pragma once

#include "model/histogram.h"
#include "vtrace/histogram.h"

#include <array>
#include <cstdint>

namespace vtrace {

// What a histogram holds by now.
struct HistogramTotals {
    uint64_t sum = 0;
    std::array<uint32_t, VT_HIST_BUCKETS> buckets{}; // modulo 2^32, as in the kernel

    void add(const vt_hist& hist);
    // What came since; without its maximum. The sum may lag behind the count by updates in flight.
    [[nodiscard]] Histogram since(const HistogramTotals& before) const;
};

// The largest value of an epoch; 0 if there was none.
uint64_t max_in(const vt_hist& hist, uint32_t epoch);

// An event between the step of the epoch and the read is counted there, but its maximum is in the next epoch;
// and the other way round at the last read. The highest bucket decides.
uint64_t max_of(const Histogram& added, uint64_t in_epoch, uint64_t in_next);

// What came to one since `before`, which becomes what it holds by now. `epoch`: the one that ends with this read.
Histogram read_new(const vt_hist& hist, HistogramTotals& before, uint32_t epoch);

} // namespace vtrace
