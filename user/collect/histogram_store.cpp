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

HistogramStore::Totals HistogramStore::totals(uint32_t slot) const
{
    Totals totals;
    for (uint32_t cpu = 0; cpu < plan_.cpus; cpu++) {
        const vt_hist& hist = entry(slot, cpu);
        totals.sum += load_relaxed(hist.sum);
        for (size_t b = 0; b < totals.buckets.size(); b++)
            totals.buckets[b] += load_relaxed(hist.buckets[b]);
    }
    return totals;
}

uint64_t HistogramStore::max_in(uint32_t slot, uint32_t epoch) const
{
    uint64_t max = 0;
    for (uint32_t cpu = 0; cpu < plan_.cpus; cpu++) {
        const vt_hist& hist = entry(slot, cpu);
        if (load_relaxed(hist.epoch[epoch & 1]) == epoch)
            max = std::max<uint64_t>(max, load_relaxed(hist.max[epoch & 1]));
    }
    return max;
}

void HistogramStore::read(const std::function<void(uint32_t, const Histogram&)>& found)
{
    const uint32_t epoch = (*object_)->data->hist_epoch;
    __atomic_store_n(&(*object_)->data->hist_epoch, epoch + 1, __ATOMIC_RELEASE);
    for (uint32_t slot = 0; slot < slots(); slot++) {
        const Totals now = totals(slot);
        Totals& before = before_[slot];
        Histogram added;
        for (uint32_t b = 0; b < VT_HIST_BUCKETS; b++) {
            const uint32_t count = now.buckets[b] - before.buckets[b];
            if (count != 0)
                added.buckets.push_back({b, count});
        }
        added.sum = now.sum - before.sum;
        before = now;
        if (added.buckets.empty()) {
            if (added.sum != 0) // a part of a time that has not ended
                found(slot, added);
            continue;
        }
        // An event between the step of the epoch and this read is counted here, but its maximum is in the
        // next epoch; and the other way round at the last read. The highest bucket decides.
        const auto [low, high] = bucket_range(added.buckets.back().index);
        uint64_t max = max_in(slot, epoch);
        if (max < low)
            max = max_in(slot, epoch + 1);
        added.max = std::clamp(max, low, high - 1);
        found(slot, added);
    }
}

void HistogramStore::restart(uint32_t slot)
{
    before_[slot] = totals(slot);
}

} // namespace vtrace
