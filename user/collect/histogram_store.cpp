// SPDX-License-Identifier: GPL-2.0-only
#include "collect/histogram_store.h"

#include <algorithm>

namespace vtrace {

SlotPlan plan_slots(uint32_t entities, uint32_t cpus)
{
    constexpr uint32_t kAtLeast = 64;
    constexpr uint32_t kMoreChunks = 7;
    return {.cpus = cpus,
            .chunk_slots = kAtLeast + entities + entities / 4,
            .more_chunks = kMoreChunks};
}

void HistogramStore::prepare(BpfObject& object, const SlotPlan& plan)
{
    object->rodata->hist_chunk_slots = plan.chunk_slots;
    ChunkedArray<vt_hist>::prepare(object->maps.hist_first, object->maps.hist_more, plan);
}

Result<HistogramStore> HistogramStore::start(BpfObject& object, const SlotPlan& plan)
{
    auto entries =
        ChunkedArray<vt_hist>::start(object->maps.hist_first, object->maps.hist_more, plan);
    if (!entries)
        return entries.error();
    return HistogramStore(object, std::move(*entries));
}

Result<bool> HistogramStore::grow()
{
    auto grown = entries_.grow();
    before_.resize(slots());
    return grown;
}

HistogramTotals HistogramStore::totals(uint32_t slot) const
{
    HistogramTotals totals;
    for (uint32_t cpu = 0; cpu < entries_.cpus(); cpu++)
        totals.add(entries_.entry(slot, cpu));
    return totals;
}

uint64_t HistogramStore::max_in(uint32_t slot, uint32_t epoch) const
{
    uint64_t max = 0;
    for (uint32_t cpu = 0; cpu < entries_.cpus(); cpu++)
        max = std::max(max, vtrace::max_in(entries_.entry(slot, cpu), epoch));
    return max;
}

void HistogramStore::read(const std::function<void(uint32_t, const Histogram&)>& found)
{
    const uint32_t epoch = (*object_)->data->hist_epoch;
    __atomic_store_n(&(*object_)->data->hist_epoch, epoch + 1, __ATOMIC_RELEASE);
    for (uint32_t slot = 0; slot < slots(); slot++) {
        const HistogramTotals now = totals(slot);
        Histogram added = now.since(before_[slot]);
        before_[slot] = now;
        if (!added.buckets.empty())
            added.max = max_of(added, max_in(slot, epoch), max_in(slot, epoch + 1));
        // A sum without a count is a part of a time that has not ended.
        if (added.sum != 0 || !added.buckets.empty())
            found(slot, added);
    }
}

void HistogramStore::restart(uint32_t slot)
{
    before_[slot] = totals(slot);
}

} // namespace vtrace
