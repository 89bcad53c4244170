// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "bpf/mapped_array.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

namespace vtrace {

// How many slots there are: a chunk at load, and chunks of the same size while running.
struct SlotPlan {
    uint32_t cpus = 1;
    uint32_t chunk_slots = 1;
    uint32_t more_chunks = 1;

    [[nodiscard]] uint32_t max_slots() const { return chunk_slots * (1 + more_chunks); }
};

// The reader's side of bpf/common/chunks.bpf.h: one T per slot and possible CPU.
template <typename T> class ChunkedArray {
public:
    // `first` is the map of the first chunk, `more` the map of the others.
    static void prepare(bpf_map* first, bpf_map* more, const SlotPlan& plan)
    {
        bpf_map__set_max_entries(first, plan.chunk_slots * plan.cpus);
        bpf_map__set_max_entries(more, plan.more_chunks);
    }

    static Result<ChunkedArray> start(bpf_map* first, bpf_map* more, const SlotPlan& plan)
    {
        ChunkedArray array(more, plan);
        auto chunk = MappedArray<T>::map(bpf_map__fd(first), size_t{plan.chunk_slots} * plan.cpus);
        if (!chunk)
            return chunk.error();
        array.chunks_.push_back(std::move(*chunk));
        return array;
    }

    // Makes one more chunk; false if all are there, or the kernel has no memory for it.
    Result<bool> grow()
    {
        const auto index = static_cast<uint32_t>(chunks_.size() - 1);
        if (index == plan_.more_chunks)
            return false;
        bpf_map_create_opts options = {};
        options.sz = sizeof(options);
        options.map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP;
        const uint32_t entries = plan_.chunk_slots * plan_.cpus;
        const Fd fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "chunk", sizeof(uint32_t), sizeof(T),
                                   entries, &options));
        if (!fd && (errno == ENOMEM || errno == EPERM)) // EPERM: RLIMIT_MEMLOCK, before 5.11
            return false;
        if (!fd)
            return errno_error("cannot make room for more figures");
        auto chunk = MappedArray<T>::map(fd.get(), entries);
        if (!chunk)
            return chunk.error();
        const int value = fd.get();
        if (bpf_map_update_elem(bpf_map__fd(more_), &index, &value, BPF_ANY) != 0)
            return errno_error("cannot make room for more figures");
        chunks_.push_back(std::move(*chunk));
        return true;
    }

    [[nodiscard]] uint32_t cpus() const { return plan_.cpus; }
    [[nodiscard]] uint32_t slots() const
    {
        return plan_.chunk_slots * static_cast<uint32_t>(chunks_.size());
    }
    [[nodiscard]] const T& entry(uint32_t slot, uint32_t cpu) const
    {
        const auto& chunk = chunks_[slot / plan_.chunk_slots];
        return chunk.values()[size_t{cpu} * plan_.chunk_slots + slot % plan_.chunk_slots];
    }

private:
    ChunkedArray(bpf_map* more, const SlotPlan& plan) : more_(more), plan_(plan) {}

    bpf_map* more_;
    SlotPlan plan_;
    std::vector<MappedArray<T>> chunks_;
};

} // namespace vtrace
