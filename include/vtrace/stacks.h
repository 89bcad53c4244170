/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/common/stacks.bpf.h and user/collect/stack_collector.cpp share. All times in nanoseconds. */
#ifndef VTRACE_STACKS_H
#define VTRACE_STACKS_H

#include <linux/types.h>

#include "vtrace/sched.h"

/* With its head it stays below 1 KiB of task storage. The outermost frames of a deeper stack are missing. */
#define VT_FRAMES 96

/* In place of the id of a stack. */
#define VT_STACK_NONE 0ULL      /* there is none: a thread of the kernel */
#define VT_STACK_NOT_TAKEN 1ULL /* not known */
#define VT_STACK_LOST 2ULL      /* it was taken, but the table of stacks is full */

/* The stack of a task's user code, taken as the task left its CPU. */
struct vt_user_stack {
    __u32 count;
    __u32 known; /* 0: not taken, count is 0 */
    __u64 frames[VT_FRAMES];
};

/* A stack by its id. The frames of a process mean something only together with its program. */
struct vt_stack {
    __u32 count;
    __u32 tgid;        /* 0: of the kernel */
    __u64 start_time;  /* of the process, in clock ticks since boot */
    __u64 exec_id;     /* how many programs it has executed */
    __u64 start_code;  /* where the present one lies: as in /proc/PID/stat, field 26 … */
    __u64 start_stack; /* … and 28 */
    __u64 frames[VT_FRAMES];
};

/* What the time of blocks is summed by. */
struct vt_block_key {
    __u64 kernel_stack;
    __u64 user_stack;
    __u32 slot; /* of the owner */
    __u32 tgid;
    __u32 reason; /* enum vt_reason */
    __u32 zero;
    char comm[VT_COMM_LEN];
};

struct vt_block_total {
    __u64 count;
    __u64 ns;
    __u64 max; /* exact unless two blocks with one key end in the same instant */
};

/* A block that has not ended, from the task iterator. */
struct vt_open_block {
    struct vt_block_key key;
    __u64 ns; /* so far */
    __u32 tid;
    __u32 zero;
};

/* Written by any CPU. Only ever grows. */
struct vt_stack_losses {
    __u64 not_taken; /* user stacks */
    __u64 lost;      /* stacks: the table of stacks was full */
    __u64 blocks_lost;
    __u64 blocks_lost_ns;
    __u64 unnoticed; /* stacks that user space was not told of: the buffer was full */
};

#endif
