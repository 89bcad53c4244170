/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/sched.bpf.c and user/collect/sched_collector.cpp share. All times in nanoseconds. */
#ifndef VTRACE_SCHED_H
#define VTRACE_SCHED_H

#include <linux/types.h>

#define VT_COMM_LEN 16

/* Slot 0 takes what has no slot of its own: all waits without --cgroup, else the overflow. */
#define VT_SLOT_OTHER 0U
#define VT_SLOT_EXCLUDED 0xffffffffU

#define VT_TASK_SELF 1U  /* a thread of this vtrace */
#define VT_TASK_STALE 2U /* its last_queued is from before it slept */

/* Whom a wait is charged to: the same leaf for all tasks of one VM (or of none) in one cgroup. */
struct vt_owner {
    __u64 cgroup_id;
    __u64 vm; /* vt_vm_id(); 0 is none */
};

/*
 * State about one task; dies with it. Written by the CPU that switches the task in.
 * With the pointer that the kernel puts in front it fills one cache line.
 */
struct vt_sched_task {
    __u64 run_delay; /* sched_info.run_delay as it is after the last switch-in */
    __u64 pcount;    /* sched_info.pcount likewise: a gap is a switch-in not seen */
    __u64 css_set;   /* task->cgroups when the slot was looked up … */
    __u64 changes;   /* … and owner_changes: the address alone could be of a newer css_set */
    __u64 cgroup_id;
    __u64 vm;
    __u32 slot;
    __u32 flags;
};

/* Where the kernel has no task storage (before 5.12), vt_sched_task is kept in a hash by this key. */
struct vt_sched_task_key {
    __u64 start_time;
    __u32 tid;
    __u32 zero;
};

/* Written by one CPU each; two cache lines keep neighbours apart. Only ever grows. */
struct vt_sched_cpu {
    __u64 missed_start;  /* waits not measured: the task was not known at its last switch-in */
    __u64 recovered;     /* waits taken from the kernel's totals: one switch-in was not seen */
    __u64 clock_anomaly; /* waits not measured: a clock ran backwards, or a stale mark */
    __u64 map_full;      /* waits charged to `other`: no slot was free */
    __u64 task_failed;   /* tasks that no state could be created for */
    __u64 ring_dropped;  /* single waits not shown: the ring buffer was full */
    __u64 rate_limited;  /* single waits not shown: more than the limit in a second on this CPU */
    __u64 slots_taken;
    __u64 slow_window; /* the second that slow_count belongs to */
    __u64 slow_count;
    __u64 unused[6];
};

/* A single wait above the threshold, as it ended. */
struct vt_slow_wait {
    __u64 end_ns; /* CLOCK_MONOTONIC */
    __u64 wait_ns;
    __u64 cgroup_id;
    __u64 vm;
    __u32 cpu;
    __u32 tid;
    __u32 tgid;
    __u32 prev_tid; /* the task that left the CPU; 0 is the idle task */
    __u32 prev_tgid;
    __u32 zero;
    char comm[VT_COMM_LEN];
    char prev_comm[VT_COMM_LEN];
};

/* A wait that has not ended, from the task iterator. */
struct vt_open_wait {
    __u64 wait_ns; /* so far */
    __u64 cgroup_id;
    __u64 vm;
    __u32 tid;
    __u32 tgid;
    char comm[VT_COMM_LEN];
};

#endif
