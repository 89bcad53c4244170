/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where histograms live: in chunks of slots, the first of them made at load for the entities present.
 * (A per-CPU array costs a system call for each read, and 95 ns against 90 for each write.)
 */
#ifndef VTRACE_COMMON_HISTOGRAM_BPF_H
#define VTRACE_COMMON_HISTOGRAM_BPF_H

#include "common/chunks.bpf.h"
#include "common/hist_add.bpf.h"

const volatile __u32 hist_chunk_slots = 1;
/* Counts reports; the reader adds one before it reads, so that a maximum belongs to an interval. */
__u32 hist_epoch = 1;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_hist);
} hist_first SEC(".maps");

/*
 * BPF_F_INNER_MAP: the chunks may be of any size (since 5.10, 4a8f87e60f6d). Sizes instead of types: from 5.15 to
 * 6.1 the kernel refuses a chunk made without BTF beside a template with it (timer_off, 68134668c17f).
 */
struct hist_chunk {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(struct vt_hist));
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, __u32);
    __array(values, struct hist_chunk);
} hist_more SEC(".maps");

static __always_inline struct vt_hist *hist_find(__u32 slot)
{
    return chunk_find(&hist_first, &hist_more, hist_chunk_slots, slot);
}

/* `summed` of the time is in the sum by now. */
static __always_inline void hist_add_rest(struct vt_hist *hist, __u64 ns, __u64 summed)
{
    hist_add_in(hist, ns, summed, hist_epoch);
}

static __always_inline void hist_add(struct vt_hist *hist, __u64 ns)
{
    hist_add_rest(hist, ns, 0);
}

#endif
