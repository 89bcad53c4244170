// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "collect/histogram_reader.h"
#include "model/histogram.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace vtrace {

// How many histogram slots there are: a chunk at load, and chunks of the same size while running.
// Memory: 1 KiB per slot and possible CPU.
struct SlotPlan {
    uint32_t cpus = 1;
    uint32_t chunk_slots = 1;
    uint32_t more_chunks = 1;

    [[nodiscard]] uint32_t max_slots() const { return chunk_slots * (1 + more_chunks); }
};

// For `entities` keys present now: a quarter more than these at once, at most eight times as many.
SlotPlan plan_slots(uint32_t entities, uint32_t cpus);

// The reader's side of bpf/common/histogram.bpf.h: what was added to each slot between two reads.
class HistogramStore {
public:
    static void prepare(BpfObject& object, const SlotPlan& plan);
    static Result<HistogramStore> start(BpfObject& object, const SlotPlan& plan);

    // Makes one more chunk; false if all are there, or the kernel has no memory for it.
    Result<bool> grow();
    [[nodiscard]] uint32_t slots() const
    {
        return plan_.chunk_slots * static_cast<uint32_t>(chunks_.size());
    }

    // Calls `found` for each slot with new events, with what came since the last call. The sum
    // may lag behind the count by updates in flight; they are in the next call.
    void read(const std::function<void(uint32_t slot, const Histogram& added)>& found);

    // From now on the slot counts from zero.
    void restart(uint32_t slot);

private:
    HistogramStore(BpfObject& object, const SlotPlan& plan) : object_(&object), plan_(plan) {}

    void add_chunk(MappedArray<vt_hist> chunk);
    [[nodiscard]] HistogramTotals totals(uint32_t slot) const;
    [[nodiscard]] const vt_hist& entry(uint32_t slot, uint32_t cpu) const;
    [[nodiscard]] uint64_t max_in(uint32_t slot, uint32_t epoch) const;

    BpfObject* object_;
    SlotPlan plan_;
    std::vector<MappedArray<vt_hist>> chunks_;
    std::vector<HistogramTotals> before_; // by slot
};

} // namespace vtrace
