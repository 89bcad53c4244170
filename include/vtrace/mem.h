/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/mem.bpf.c and user/collect/memory_collector.cpp share. All times in nanoseconds. */
#ifndef VTRACE_MEM_H
#define VTRACE_MEM_H

#include "vtrace/histogram.h"

#include <linux/types.h>

#define VT_MEM_SLOT_OTHER 0U           /* of stalls that found no slot: counted, not told apart */
#define VT_MEM_SLOT_EXCLUDED 0xffffffffU /* of an owner that was not asked for */

/* What a task did in place of its work. */
enum vt_mem_kind {
    VT_MEM_RECLAIM = 1, /* the host was short of memory */
    VT_MEM_LIMIT,       /* its cgroup, or one above it, was at its limit */
    VT_MEM_COMPACT,     /* no free pages in a row */
};

struct vt_mem_key {
    __u64 cgroup_id; /* of the task that stalled */
    __u64 vm;        /* vt_vm_id(); 0: of none */
    __u32 kind;      /* enum vt_mem_kind */
    __u32 zero;
};

/* Figures of one key, of all CPUs, added with atomics: these are slow paths. Only ever grow. */
struct vt_mem_stat {
    __u64 count;
    __u64 pages; /* reclaimed; none of VT_MEM_COMPACT */
    struct vt_hist time;
};

/* A stall that has not ended. By thread and kind: compaction is part of no reclaim, but may follow one. */
struct vt_mem_open_key {
    __u32 tid;
    __u32 kind;
};

struct vt_mem_open {
    __u64 start; /* CLOCK_MONOTONIC */
    __u32 slot;
    __u32 tgid;
};

#define VT_OOM_COMM_LEN 16

/* A process that the kernel has killed for its memory. */
struct vt_oom {
    __u64 time;           /* CLOCK_MONOTONIC */
    __u64 cgroup_id;      /* of the victim */
    __u64 cause_cgroup;   /* of the task that asked for memory */
    __u32 tgid;
    __u32 cause_tgid;
    char comm[VT_OOM_COMM_LEN];
    char cause_comm[VT_OOM_COMM_LEN];
};

#endif
