/* SPDX-License-Identifier: GPL-2.0-only */
/* Histograms of an owner about something: another owner, or an enum vt_code. */
#ifndef VTRACE_COMMON_PAIRS_BPF_H
#define VTRACE_COMMON_PAIRS_BPF_H

#include "common/histogram.bpf.h"
#include "common/owners.bpf.h"

/* How many (victim, neighbour) get a histogram of their own. */
const volatile __u32 neighbour_pairs = 0;

__u32 neighbour_pairs_taken = 0;
__u32 pair_changes = 1; /* counts the pairs given back */

/* By CPU, only where pairs are. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_pairs);
} sched_pairs SEC(".maps");

static __always_inline __u32 find_pair(__u32 slot, __u32 code)
{
    __u64 kind = slot & VT_SLOT_WHOLE ? VT_OWNER_WHOLE : VT_OWNER_PAIR;
    __u64 by_slot = (__u64)(slot & ~VT_SLOT_WHOLE) << 32;
    struct vt_owner owner = {.cgroup_id = by_slot | code, .vm = kind << VT_OWNER_KIND_SHIFT};

    if (code < VT_CODE_FIRST && !bpf_map_lookup_elem(&owner_slots, &owner)) {
        if (neighbour_pairs_taken >= neighbour_pairs)
            owner.cgroup_id = by_slot | VT_CODE_NEIGHBOURS;
        else
            __sync_fetch_and_add(&neighbour_pairs_taken, 1);
    }
    return find_slot(owner.cgroup_id, owner.vm);
}

static __always_inline struct vt_pair *cached_pair(__u32 slot, __u32 code)
{
    __u32 cpu = bpf_get_smp_processor_id();
    struct vt_pairs *pairs = bpf_map_lookup_elem(&sched_pairs, &cpu);

    return pairs ? &pairs->known[(slot * 31 + code) % VT_PAIR_CACHE] : NULL;
}

static __always_inline bool is_of(struct vt_pair *pair, __u32 slot, __u32 code)
{
    return pair->slot == slot && pair->code == code && pair->changes == pair_changes;
}

/* Adds a time to the histogram of an owner about something; 0 if there is no room for it. */
__noinline int pair_add(__u32 slot, __u32 code, __u64 ns)
{
    struct vt_pair *pair = cached_pair(slot, code);
    __u32 changes = pair_changes;
    struct vt_hist *hist;

    if (!pair)
        return 0;
    if (!is_of(pair, slot, code)) {
        __u32 found = find_pair(slot, code);

        if (found == VT_SLOT_OTHER) {
            COUNT(map_full);
            return 0;
        }
        pair->slot = slot;
        pair->code = code;
        pair->changes = changes;
        pair->pair = found;
    }
    hist = hist_find(pair->pair);
    if (hist)
        hist_add(hist, ns);
    return 1;
}

/* The same, for where most events go through: the call is a third of the cost. */
static __always_inline bool pair_add_fast(__u32 slot, __u32 code, __u64 ns)
{
    struct vt_pair *pair = cached_pair(slot, code);
    struct vt_hist *hist;

    if (!pair || !is_of(pair, slot, code))
        return pair_add(slot, code, ns);
    hist = hist_find(pair->pair);
    if (hist)
        hist_add(hist, ns);
    return true;
}

#endif
