/* SPDX-License-Identifier: GPL-2.0-only */
/* Adding to one histogram, wherever it lives. */
#ifndef VTRACE_COMMON_HIST_ADD_BPF_H
#define VTRACE_COMMON_HIST_ADD_BPF_H

#include "common/kernel.bpf.h"
#include "vtrace/histogram.h"

/* `summed` of the time is in the sum by now. `epoch` counts reports. */
static __always_inline void hist_add_in(struct vt_hist *hist, __u64 ns, __u64 summed, __u32 epoch)
{
    __u32 bucket = vt_hist_bucket(ns);
    __u32 parity = epoch & 1;

    hist->sum += ns - summed;
    if (hist->epoch[parity] != epoch) {
        hist->epoch[parity] = epoch;
        hist->max[parity] = ns;
    } else if (ns > hist->max[parity]) {
        hist->max[parity] = ns;
    }
    if (bucket < VT_HIST_BUCKETS)
        hist->buckets[bucket]++;
}

#endif
