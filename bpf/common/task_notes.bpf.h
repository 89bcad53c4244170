/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel notes about a task, by itself: its state, and the system call that it is in. */
#ifndef VTRACE_COMMON_TASK_NOTES_BPF_H
#define VTRACE_COMMON_TASK_NOTES_BPF_H

#include "common/kernel.bpf.h"

/* The kernel's numbers, the same in all versions from 5.10 on. */
#define PF_EXITING 0x00000004
#define PF_IO_WORKER 0x00000010 /* of io_uring; in 5.10 PF_VCPU, which no task that blocks has */
#define PF_MEMALLOC 0x00000800
#define TASK_RTLOCK_WAIT 0x00001000 /* of a real-time kernel; since 5.15, free before */

static __always_inline __u32 task_state(struct task_struct *task)
{
    struct task_struct___since_5_14 *since_5_14 = (void *)task;
    struct task_struct___until_5_13 *until_5_13 = (void *)task;

    if (bpf_core_field_exists(since_5_14->__state))
        return since_5_14->__state;
    return until_5_13->state;
}

/* In psi_memstall_enter(): reclaim, compaction, a limit, a page that was evicted too early. */
static __always_inline bool waits_for_memory(struct task_struct *task)
{
    struct task_struct___with_psi *with_psi = (void *)task;

    return bpf_core_field_exists(with_psi->in_memstall) &&
           BPF_CORE_READ_BITFIELD(with_psi, in_memstall);
}

/* It waits, or has just waited, for a disk or for memory: of a task that leaves its CPU, or gets one. */
static __always_inline bool notes_a_wait(struct task_struct *task)
{
    return BPF_CORE_READ_BITFIELD(task, in_iowait) || waits_for_memory(task);
}

struct system_call {
    __s64 number; /* -1 in none: user code was interrupted by a fault */
    __u64 first;
    __u64 second;
};

#ifdef __TARGET_ARCH_x86

#define TS_COMPAT 0x0002 /* in a system call of 32 bits, which have numbers of their own */

static __always_inline bool find_system_call(struct task_struct *task, struct system_call *call)
{
    struct thread_info___x86_64 *info = (void *)task; /* its first member */
    struct pt_regs___x86_64 *regs;

    if (info->status & TS_COMPAT)
        return false;
    if (bpf_core_enum_value_exists(enum bpf_func_id___since_5_15,
                                   BPF_FUNC_task_pt_regs___since_5_15)) {
        regs = (void *)bpf_task_pt_regs(task);
        call->number = regs->orig_ax;
        call->first = regs->di;
        call->second = regs->si;
    } else {
        /* At the end of its stack, of 16 KiB (32 with KASAN, which is not for production). */
        regs = task->stack + 16384 - bpf_core_type_size(struct pt_regs___x86_64);
        call->number = BPF_CORE_READ(regs, orig_ax);
        call->first = BPF_CORE_READ(regs, di);
        call->second = BPF_CORE_READ(regs, si);
    }
    return true;
}

#else

#define TIF_32BIT (1UL << 22)

static __always_inline bool find_system_call(struct task_struct *task, struct system_call *call)
{
    struct thread_info___aarch64 *info = (void *)task;
    struct pt_regs___aarch64 *regs;

    if (info->flags & TIF_32BIT)
        return false;
    /* Before 5.15 not known: the layout of the stack depends on the kernel's configuration. */
    if (!bpf_core_enum_value_exists(enum bpf_func_id___since_5_15,
                                    BPF_FUNC_task_pt_regs___since_5_15))
        return false;
    regs = (void *)bpf_task_pt_regs(task);
    call->number = regs->syscallno;
    call->first = regs->orig_x0;
    call->second = regs->regs[1];
    return true;
}

#endif

#endif
