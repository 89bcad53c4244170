/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the time of threads goes: what bpf/common/states.bpf.h and user/collect/state_reader.cpp share. */
#ifndef VTRACE_STATES_H
#define VTRACE_STATES_H

#include "vtrace/reason.h"
#include "vtrace/sched.h"

#include <linux/types.h>

/* Of one thread, or of several. In ns; a difference may be a little below 0, which the next one takes back. */
struct vt_thread_times {
    __u64 ns[VT_REASONS]; /* by the reason to be off a CPU; VT_REASON_NONE is on one */
    __u64 stolen;         /* on a CPU that interrupts or the hypervisor had meanwhile */
    __u64 lived;          /* what these should add up to */
    __u64 utime;          /* as the kernel counts; with gtime */
    __u64 stime;
    __u64 gtime;
    __u64 voluntary; /* times that a thread left its CPU to wait for something */
};

/* State about one thread; dies with it. */
struct vt_state_task {
    struct vt_thread_times
        sum; /* of blocks that have ended, and of throttling; of RUNNABLE what the
                                  * kernel counted that was no wait, below 0 */
    struct vt_thread_times told; /* what reports had by now */
};

/* With states: one look-up finds both. */
struct vt_stated_task {
    struct vt_sched_task sched;
    struct vt_state_task states;
};

/* What is new of a thread since the last report, from the task iterator. */
struct vt_thread_state {
    struct vt_thread_times times;
    __u32 slot;
    __u32 tid;
    __u32 tgid;
    __u32 zero;
    char comm[VT_COMM_LEN];
};

#endif
