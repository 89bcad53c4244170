/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Why a task is not on a CPU. bpf/common/reason.bpf.h finds it as the task leaves, from what the kernel
 * itself notes about the task and from the system call that the task is in; never by guess.
 */
#ifndef VTRACE_REASON_H
#define VTRACE_REASON_H

#include <linux/types.h>

/* One byte; the values and their names (user/collect/reasons.cpp) stay as they are. */
enum vt_reason {
    VT_REASON_NONE = 0,      /* it runs, or was not seen as it left */
    VT_REASON_RUNNABLE = 1,  /* it could run: preempted, or it yielded */
    VT_REASON_THROTTLED = 2, /* it could run but for its CPU quota */
    VT_REASON_DISK = 3,      /* storage, or in a read, write or sync of a file */
    VT_REASON_LOCK = 4,      /* a futex, a semaphore, a file lock */
    VT_REASON_SOCKET = 5,    /* in a system call on a socket */
    VT_REASON_POLL = 6,      /* for the first of many: poll, select, epoll */
    VT_REASON_MEMORY = 7,   /* for memory: reclaim, compaction, a page that was evicted too early */
    VT_REASON_FAULT = 8,    /* in a page fault, for neither memory nor storage */
    VT_REASON_SLEEP = 9,    /* for a time to pass */
    VT_REASON_PIPE = 10,    /* in a read or write of a pipe, or on a message queue */
    VT_REASON_WAIT = 11,    /* for a child or a signal */
    VT_REASON_AIO = 12,     /* for the completion of asynchronous I/O */
    VT_REASON_KTHREAD = 13, /* a thread of the kernel, for work */
    VT_REASON_STOPPED = 14, /* by a signal, a tracer or the freezer */
    VT_REASON_BLOCKED = 15, /* not interruptible ("D"), none of the above */
    VT_REASON_OTHER = 16,   /* interruptible, none of the above */
    VT_REASON_DEAD = 17,    /* it has ended */
    VT_REASONS = 18,
};

/* What a system call says, by its number: an enum vt_reason, or one of these. */
#define VT_SYSCALL_FILE 0x80  /* that of the file which the first argument names */
#define VT_SYSCALL_FCNTL 0x81 /* a file lock if the second argument is F_SETLKW */
#define VT_SYSCALLS 512U

#endif
