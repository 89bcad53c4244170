/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/runq.bpf.c and user/collect/runq_collector.cpp share. Only ever grows; written by one CPU each. */
#ifndef VTRACE_RUNQ_H
#define VTRACE_RUNQ_H

#include <linux/types.h>

#define VT_RUNQ_LENGTHS 32 /* the last one is for all that are longer */
#define VT_RUNQ_WALK 64    /* tasks of a queue that are looked at in a sample */

/* What was seen of a CPU's run queue, the running task not counted. */
struct vt_runq_cpu {
    __u64 samples;
    __u64 sum; /* of lengths */
    __u64 cut; /* samples in which not all tasks were looked at */
    __u64 map_full;
    __u64 lengths[VT_RUNQ_LENGTHS]; /* samples by length */
    __u64 idle;                     /* samples while the CPU was idle */
    __u64 unused[3];
};

struct vt_runq_key {
    __u64 cgroup_id;
    __u64 vm; /* 0: in none, or VMs were not asked for */
    __u32 cpu;
    __u32 zero;
};

/* What was seen of the tasks of one VM, or of what is in none, of one cgroup in one CPU's queue. */
struct vt_runq_owner {
    __u64 sample; /* number of the last one that any waited in */
    __u64 seen;   /* samples that any waited in */
    __u64 sum;    /* of how many */
};

#endif
