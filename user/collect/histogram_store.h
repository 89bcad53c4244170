// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/chunked_array.h"
#include "bpf/object.h"
#include "collect/histogram_reader.h"
#include "model/histogram.h"

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace vtrace {

// For `entities` keys present now: a quarter more than these at once, at most eight times as many. A slot
// takes 1 KiB for each possible CPU.
SlotPlan plan_slots(uint32_t entities, uint32_t cpus);

// The reader's side of bpf/common/histogram.bpf.h: what was added to each slot between two reads.
class HistogramStore {
public:
    static void prepare(BpfObject& object, const SlotPlan& plan);
    static Result<HistogramStore> start(BpfObject& object, const SlotPlan& plan);

    // Makes one more chunk; false if all are there, or the kernel has no memory for it.
    Result<bool> grow();
    [[nodiscard]] uint32_t slots() const { return entries_.slots(); }

    // Calls `found` for each slot with new events, with what came since the last call. The sum
    // may lag behind the count by updates in flight; they are in the next call.
    void read(const std::function<void(uint32_t slot, const Histogram& added)>& found);

    // From now on the slot counts from zero.
    void restart(uint32_t slot);

private:
    HistogramStore(BpfObject& object, ChunkedArray<vt_hist> entries)
        : object_(&object), entries_(std::move(entries)), before_(entries_.slots())
    {
    }

    [[nodiscard]] HistogramTotals totals(uint32_t slot) const;
    [[nodiscard]] uint64_t max_in(uint32_t slot, uint32_t epoch) const;

    BpfObject* object_;
    ChunkedArray<vt_hist> entries_;
    std::vector<HistogramTotals> before_; // by slot
};

} // namespace vtrace
