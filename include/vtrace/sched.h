/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/sched.bpf.c and user/collect/sched_collector.cpp share. All times in nanoseconds. */
#ifndef VTRACE_SCHED_H
#define VTRACE_SCHED_H

#include <linux/types.h>

#define VT_COMM_LEN 16

/* Slot 0 takes what has no slot of its own: all waits without --cgroup, else the overflow. */
#define VT_SLOT_OTHER 0U
#define VT_SLOT_EXCLUDED 0xffffffffU
#define VT_SLOT_WHOLE 0x80000000U /* beside a slot: whole waits of its owner. No slot is so large */

#define VT_TASK_STALE 1U   /* its last_queued is from before it slept */
#define VT_TASK_OUTSIDE 2U /* in a cgroup, or of a VM, that was not asked for */
#define VT_TASK_METERED 4U /* `throttle` is the meter as its wait began */
#define VT_TASK_MOVED 8U   /* but it was moved to another CPU since */
#define VT_TASK_BEGUN 16U  /* what else is here is good */
#define VT_TASK_CPU_SHIFT 16
#define VT_TASK_CPU_MASK 0xffff0000U /* the CPU that it left */
#define VT_TASK_REASON_SHIFT 8
#define VT_TASK_REASON (0xffU << VT_TASK_REASON_SHIFT) /* enum vt_reason: why it left its CPU */

/*
 * Whom a figure is charged to: the same leaf for all tasks of one VM (or of none) in one cgroup. Two other
 * kinds share the table, told apart by the top byte of vm, which no VM has:
 *  - with blame, a thread of the kernel's own: cgroup_id and vm are its name up to a slash;
 *  - a pair: cgroup_id is an owner's slot << 32 | a code. Of waits there are two histograms for one pair: of those
 *    that were of this code as a whole, which are in no other histogram, and of parts of the others.
 */
struct vt_owner {
    __u64 cgroup_id;
    __u64 vm; /* vt_vm_id(); 0 is none */
};

#define VT_OWNER_KTHREAD 0xffU
#define VT_OWNER_PAIR 0xfeU
#define VT_OWNER_WHOLE 0xfdU
#define VT_OWNER_KIND_SHIFT 56

/* What a histogram of an owner is about: another owner, by its slot, or one of these. */
enum vt_code {
    VT_CODE_FIRST = 0xfffff000U,       /* no slot is so large */
    VT_CODE_THROTTLED = VT_CODE_FIRST, /* of a wait: the own CPU quota was used up */
    VT_CODE_SELF,                      /* others of the same owner ran */
    VT_CODE_NEIGHBOURS,                /* others ran that no pair was left for */
    VT_CODE_IDLE,                      /* the CPU was idle: it was being woken */
    VT_CODE_FORCED_IDLE,               /* core scheduling kept it idle */
    VT_CODE_IRQ,                       /* interrupts, softirqs outside ksoftirqd */
    VT_CODE_STEAL,                     /* the hypervisor above this host ran something else */
    VT_CODE_UNKNOWN,                   /* not known who ran */
    VT_CODE_SLICE,                     /* time on a CPU at a stretch */
    VT_CODE_OFFCPU,                    /* time between two of them */
};

/*
 * State about one task; dies with it. Written by the CPU that switches the task in.
 * With the pointer that the kernel puts in front it fills one cache line.
 */
struct vt_sched_task {
    __u64 run_delay; /* sched_info.run_delay as it is after the last switch-in */
    __u64 css_set;   /* task->cgroups when the slot was looked up … */
    __u32 changes;   /* … and owner_changes: the address alone could be of a newer css_set */
    __u32 pcount;    /* sched_info.pcount as run_delay: a gap is a switch-in not seen */
    __u64 off_since; /* rq clock when it last left a CPU; 0 is not known */
    __u64 blamed;    /* of the present wait: charged when it was moved to another CPU */
    __u64 throttle;  /* see bpf/common/throttle.bpf.h */
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
    __u64 since;   /* rq clock at the last switch; 0 before the first that was seen */
    __u64 ran;     /* rq clock_task then */
    __u64 steal;   /* rq.prev_steal_time_rq then */
    __u64 irq;     /* rq.prev_irq_time then */
    __u32 running; /* whose time it is since: an owner's slot or an enum vt_code */
    __u32 charged; /* the same slot if figures of it were asked for, else VT_SLOT_EXCLUDED */
    __u32 tid;     /* whom that switch gave the CPU to */
    __u32 zero;
};

/* Who ran on a CPU before the present task: slices of one owner in a row are one. */
#define VT_HISTORY 64

struct vt_slice {
    __u64 start;   /* rq clock; it ends where the next one starts */
    __u32 running; /* as in vt_sched_cpu */
    __u32 steal;   /* ns of it, at most 4.29 s */
    __u32 irq;     /* ns of it, likewise */
    __u32 zero;
};

/*
 * The same in coarse steps, for waits with more changes of owner than that: who had how much of the CPU in
 * VT_BLOCK_NS or a little more, and what is older than those blocks in coarser ones, VT_COARSER times as
 * long from level to level. What more owners than these had is not known.
 */
#define VT_LEVELS 4  /* a power of 2, as VT_BLOCKS */
#define VT_BLOCKS 64 /* of a level: 0.1, 2, 32 and 524 s at least */
#define VT_BLOCK_NS 2000000ULL
#define VT_COARSER 16
#define VT_BLOCK_OWNERS 6

struct vt_block {
    __u64 start; /* rq clock; it ends where the next one starts */
    __u32 running[VT_BLOCK_OWNERS];
    __u32 ns[VT_BLOCK_OWNERS]; /* at most 4.29 s; 0: no owner */
    __u64 unused;
};

struct vt_level {
    __u64 last;  /* number of the present block */
    __u64 until; /* rq clock: the end of what is in it by now */
    struct vt_block blocks[VT_BLOCKS];
};

struct vt_history {
    __u64 head; /* slices ever added */
    __u64 unused[7];
    struct vt_slice slices[VT_HISTORY];
    struct vt_level levels[VT_LEVELS];
};

/* Slots of pairs, as they were looked up last; by CPU. */
#define VT_PAIR_CACHE 256

struct vt_pair {
    __u32 slot; /* of the owner */
    __u32 code;
    __u32 changes; /* pair_changes when it was looked up; 0: empty */
    __u32 pair;    /* where its histogram is */
};

/* The wait that is being charged. */
struct vt_ask {
    __u64 from; /* rq clock */
    __u64 to;
    __u64 throttled;    /* of it, in one piece … */
    __u64 throttled_to; /* … that ended then */
    __u64 steal;        /* ns, of the slice in hand */
    __u64 irq;
    __u64 left; /* of what is older than the slices: not charged by now */
};

/* Used by one CPU each. */
struct vt_pairs {
    struct vt_ask ask;
    struct vt_ask open; /* the iterator's: a switch may come in between */
    struct vt_pair known[VT_PAIR_CACHE];
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

#define VT_OPEN_PARTS 4

/* A wait that has not ended, from the task iterator. */
struct vt_open_wait {
    __u64 wait_ns; /* so far */
    __u64 cgroup_id;
    __u64 vm;
    __u32 tid;
    __u32 tgid;
    char comm[VT_COMM_LEN];
    __u32 slot;                /* with blame */
    __u32 code[VT_OPEN_PARTS]; /* with blame: who ran meanwhile, the latest first … */
    __u32 zero;
    __u64 ns[VT_OPEN_PARTS]; /* … for how long; 0: no part */
};

#endif
