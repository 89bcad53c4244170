/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/irq.bpf.c and user/collect/irq_collector.cpp share. All times in nanoseconds; all only ever grows. */
#ifndef VTRACE_IRQ_H
#define VTRACE_IRQ_H

#include "vtrace/histogram.h"

#include <linux/types.h>

#define VT_SOFTIRQS 10 /* NR_SOFTIRQS, include/linux/interrupt.h */
#define VT_IRQ_NAME_LEN 32

#define VT_OWNER_IDLE 0xfcU /* beside the others of struct vt_owner: nobody, the CPU was idle */

#define VT_IRQ_EXCLUDED 0xffffffffU /* in place of a slot: of a task that was not asked for */

/* Who paid last, and where it stands. */
struct vt_irq_payer {
    __u64 css_set; /* of the task that was interrupted */
    __u32 tgid;    /* likewise; 0: the idle task */
    __u32
        changes; /* owner_changes when it was looked up: the address alone could be of a newer css_set */
    __u32 kind; /* as in vt_irq_charge_key */
    __u32 slot; /* in irq_charges */
};

/* A kind of softirq on one CPU: one cache line, as its programs run with most of them cold. */
struct vt_softirq {
    __u64 start;       /* of a run; 0: none, or not seen to begin */
    __u64 late;        /* from the first raise to the entry of that run; 0: not known */
    __u64 raised;      /* first since it ran last, CLOCK_MONOTONIC … */
    __u32 raised_runs; /* … when it had run so often */
    __u32 runs;
    struct vt_irq_payer payer;
    __u64 unused;
};

/* Softirqs of one CPU, written by it only. */
struct vt_softirq_cpu {
    __u64 missed_start;  /* runs whose raise was not seen */
    __u64 clock_anomaly; /* times not measured: a clock ran backwards */
    __u64 map_full;      /* charged to nobody: no slot was free */
    __u64 unused[5];
    struct vt_softirq softirqs[VT_SOFTIRQS];
    struct vt_hist time[VT_SOFTIRQS];  /* from entry to exit */
    struct vt_hist delay[VT_SOFTIRQS]; /* from the first raise to the entry */
};

/* A handler of an interrupt on one CPU. */
struct vt_hardirq_key {
    __u64 action; /* its struct irqaction, an address */
    __u64 name;   /* of its name, likewise: actions come and go */
    __u32 irq;
    __u32 cpu;
};

/* By a slot; written by that CPU only. The first slots are of what found none, one for each CPU. */
struct vt_hardirq {
    struct vt_hardirq_key key;
    char name[VT_IRQ_NAME_LEN];
    __u64 not_handled; /* runs that found their device had not asked (IRQ_NONE): of shared lines */
    struct vt_hist time;
};

#define VT_HARDIRQ_CACHE 16 /* a power of 2 */

struct vt_hardirq_last {
    struct vt_hardirq_key key;
    __u32 slot;
    __u32 zero;
    struct vt_irq_payer payer;
};

/* Interrupts of one CPU, written by it only. */
struct vt_hardirq_cpu {
    __u64 start;         /* of the handler that runs; 0: none, or not seen */
    __u64 clock_anomaly; /* as in vt_softirq_cpu */
    __u64 map_full;
    struct vt_hardirq_last last[VT_HARDIRQ_CACHE]; /* by number, the lowest bits */
};

#define VT_IRQ_HARD 0x80000000U

/* Whose CPU it took: the task that was interrupted. */
struct vt_irq_charge_key {
    __u64 cgroup_id; /* as in vt_owner; with VT_OWNER_KTHREAD in it its name */
    __u64 vm;
    __u32 kind; /* a softirq, or a slot in hardirqs | VT_IRQ_HARD */
    __u32 cpu;
};

/* By a slot; written by that CPU only. The first slots are of what found none, two for each CPU: soft and hard. */
struct vt_irq_charge {
    struct vt_irq_charge_key key;
    __u64 count;
    __u64 ns;
};

#endif
