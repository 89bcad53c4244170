/* SPDX-License-Identifier: GPL-2.0-only */
/* Softirqs of each CPU, which bpf/irq.bpf.c follows. */
#ifndef VTRACE_COMMON_SOFTIRQ_BPF_H
#define VTRACE_COMMON_SOFTIRQ_BPF_H

#include "common/kernel.bpf.h"
#include "vtrace/irq.h"

#define VT_NET_RX 3 /* NET_RX_SOFTIRQ, include/linux/interrupt.h */

/* By CPU. */
struct vt_softirq_cpus {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_softirq_cpu);
};

#endif
