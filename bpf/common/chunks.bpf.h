/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Per-CPU slots that grow while running: slot s of CPU c is element c * chunk_slots + s of a plain array that
 * only CPU c writes. The first chunk is made at load, more are added to an array of maps.
 */
#ifndef VTRACE_COMMON_CHUNKS_BPF_H
#define VTRACE_COMMON_CHUNKS_BPF_H

#include "common/kernel.bpf.h"

static __always_inline void *chunk_find(void *first, void *more, __u32 chunk_slots, __u32 slot)
{
    __u32 base = bpf_get_smp_processor_id() * chunk_slots;
    __u32 key, chunk;
    void *inner;

    if (slot < chunk_slots) {
        key = base + slot;
        return bpf_map_lookup_elem(first, &key);
    }
    chunk = slot / chunk_slots - 1;
    inner = bpf_map_lookup_elem(more, &chunk);
    if (!inner)
        return NULL;
    key = base + slot % chunk_slots;
    return bpf_map_lookup_elem(inner, &key);
}

#endif
