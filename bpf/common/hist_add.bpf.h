/* SPDX-License-Identifier: GPL-2.0-only */
/* Adding to one histogram, wherever it lives. */
#ifndef VTRACE_COMMON_HIST_ADD_BPF_H
#define VTRACE_COMMON_HIST_ADD_BPF_H

#include "common/kernel.bpf.h"
#include "vtrace/histogram.h"

static __always_inline void hist_max_in(struct vt_hist *hist, __u64 ns, __u32 epoch)
{
    __u32 parity = epoch & 1;

    if (hist->epoch[parity] != epoch) {
        hist->epoch[parity] = epoch;
        hist->max[parity] = ns;
    } else if (ns > hist->max[parity]) {
        hist->max[parity] = ns;
    }
}

/* `summed` of the time is in the sum by now. `epoch` counts reports. */
static __always_inline void hist_add_in(struct vt_hist *hist, __u64 ns, __u64 summed, __u32 epoch)
{
    __u32 bucket = vt_hist_bucket(ns);

    hist->sum += ns - summed;
    hist_max_in(hist, ns, epoch);
    if (bucket < VT_HIST_BUCKETS)
        hist->buckets[bucket]++;
}

/* Of a histogram that all CPUs add to, on slow paths. */
static __always_inline void hist_add_shared(struct vt_hist *hist, __u64 ns, __u32 epoch)
{
    __u32 bucket = vt_hist_bucket(ns);

    __sync_fetch_and_add(&hist->sum, ns);
    /* Of two at once the smaller one may stay: the reader takes the edge of its bucket then. */
    hist_max_in(hist, ns, epoch);
    if (bucket < VT_HIST_BUCKETS)
        __sync_fetch_and_add(&hist->buckets[bucket], 1);
}

#endif
