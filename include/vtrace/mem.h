/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/mem.bpf.c and user/collect/memory_collector.cpp share. All times in nanoseconds. */
#ifndef VTRACE_MEM_H
#define VTRACE_MEM_H

#include "vtrace/histogram.h"

#include <linux/types.h>

#define VT_MEM_SLOT_OTHER 0U /* of stalls that found no slot: counted, not told apart */

#define VT_MEM_COMM_LEN 16

/* What a task did, or waited for, in place of its work. */
enum vt_mem_kind {
    VT_MEM_RECLAIM = 1, /* freed pages, or waited for kswapd to: the host was short of memory */
    VT_MEM_LIMIT,       /* freed pages: its cgroup, or one above it, was at its limit */
    VT_MEM_COMPACT,     /* moved pages: none were free in a row */
    VT_MEM_HIGH,        /* slept: its cgroup was above memory.high */
    VT_MEM_SWAPIN,      /* waited for a page from swap */
    VT_MEM_FAULT,       /* waited for a page of a file, in a page fault */
    VT_MEM_THRASH,      /* waited for a page of a file that had been evicted too early */
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
    __u64 pages; /* freed, of VT_MEM_RECLAIM and VT_MEM_LIMIT */
    struct vt_hist time;
};

/* A stall that has not ended: of a thread one of its work for memory, and one wait for a page. */
struct vt_mem_open_key {
    __u32 tid;
    __u32 waits; /* off its CPU, not within a work */
};

struct vt_mem_open {
    __u64 start; /* CLOCK_MONOTONIC */
    __u32 slot;
    __u32 tgid;
    __u32 kind;
    __u32 zero;
    char comm[VT_MEM_COMM_LEN];
};

/* The code of a function of the kernel, and what a wait in it is for; size 0: there is none. */
struct vt_mem_function {
    __u64 start;
    __u64 size;
    __u32 kind; /* enum vt_mem_kind; 0: for nothing of it */
    __u32 zero;
};

#define VT_MEM_FUNCTIONS 16

/* A process that the kernel has killed for its memory. */
struct vt_oom {
    __u64 time;         /* CLOCK_MONOTONIC */
    __u64 cgroup_id;    /* of the victim */
    __u64 vm;           /* likewise */
    __u64 cause_cgroup; /* of the task that asked for memory */
    __u64 cause_vm;     /* likewise */
    __u32 tgid;
    __u32 cause_tgid;
    __u32 kind; /* how the task that asked for memory had tried to get some; 0: not known */
    __u32 zero;
    char comm[VT_MEM_COMM_LEN];
    char cause_comm[VT_MEM_COMM_LEN];
};

#endif
