// SPDX-License-Identifier: GPL-2.0-only
#include "collect/histogram_store.h"

#include <algorithm>
#include <cerrno>

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
    bpf_map__set_max_entries(object->maps.hist_first, plan.chunk_slots * plan.cpus);
    bpf_map__set_max_entries(object->maps.hist_more, plan.more_chunks);
}

Result<HistogramStore> HistogramStore::start(BpfObject& object, const SlotPlan& plan)
{
    HistogramStore store(object, plan);
    auto first = MappedArray<vt_hist>::map(bpf_map__fd(object->maps.hist_first),
                                           size_t{plan.chunk_slots} * plan.cpus);
    if (!first)
        return first.error();
    store.add_chunk(std::move(*first));
    return store;
}

void HistogramStore::add_chunk(MappedArray<vt_hist> chunk)
{
    chunks_.push_back(std::move(chunk));
    before_.resize(slots());
}

Result<bool> HistogramStore::grow()
{
    const auto index = static_cast<uint32_t>(chunks_.size() - 1);
    if (index == plan_.more_chunks)
        return false;
    bpf_map_create_opts options = {};
    options.sz = sizeof(options);
    options.map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP;
    const uint32_t entries = plan_.chunk_slots * plan_.cpus;
    const Fd fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "hist_chunk", sizeof(uint32_t), sizeof(vt_hist),
                               entries, &options));
    if (!fd && (errno == ENOMEM || errno == EPERM)) // EPERM: RLIMIT_MEMLOCK, before 5.11
        return false;
    if (!fd)
        return errno_error("cannot make room for more histograms");
    auto chunk = MappedArray<vt_hist>::map(fd.get(), entries);
    if (!chunk)
        return chunk.error();
    const int value = fd.get();
    if (bpf_map_update_elem(bpf_map__fd((*object_)->maps.hist_more), &index, &value, BPF_ANY) != 0)
        return errno_error("cannot make room for more histograms");
    add_chunk(std::move(*chunk));
    return true;
}

const vt_hist& HistogramStore::entry(uint32_t slot, uint32_t cpu) const
{
    const auto& chunk = chunks_[slot / plan_.chunk_slots];
    return chunk.values()[size_t{cpu} * plan_.chunk_slots + slot % plan_.chunk_slots];
}

HistogramTotals HistogramStore::totals(uint32_t slot) const
{
    HistogramTotals totals;
    for (uint32_t cpu = 0; cpu < plan_.cpus; cpu++)
        totals.add(entry(slot, cpu));
    return totals;
}

uint64_t HistogramStore::max_in(uint32_t slot, uint32_t epoch) const
{
    uint64_t max = 0;
    for (uint32_t cpu = 0; cpu < plan_.cpus; cpu++)
        max = std::max(max, vtrace::max_in(entry(slot, cpu), epoch));
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
