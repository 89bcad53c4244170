/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Why a task leaves its CPU (enum vt_reason). It runs at every switch that blocks, so what is common is
 * tested first. What the kernel notes about the task comes before its system call: a read of a file that
 * waits for memory waits for memory.
 */
#ifndef VTRACE_COMMON_REASON_BPF_H
#define VTRACE_COMMON_REASON_BPF_H

#include "common/kernel.bpf.h"
#include "common/task_notes.bpf.h"
#include "vtrace/reason.h"
#include "vtrace/sched.h"

const volatile __u8 syscall_reasons[VT_SYSCALLS]; /* user/collect/syscall_reasons.cpp */

/* The kernel's numbers, the same in all versions from 5.10 on. */
#define TASK_UNINTERRUPTIBLE 0x00000002
#define TASK_STOPPED_OR_TRACED 0x0000000c
#define TASK_DEAD 0x00000080
#define TASK_FROZEN 0x00008000 /* since 6.1, free before */
#define S_IFMT 0170000
#define S_IFIFO 0010000
#define S_IFBLK 0060000
#define S_IFREG 0100000
#define S_IFDIR 0040000
#define S_IFSOCK 0140000
#define S_ANON_INODE (1 << 19)

/* By what the kernel's notes say; VT_REASON_NONE if they do not. `state` is not 0. */
static __always_inline __u8 noted_reason(struct task_struct *task, __u32 state)
{
    __u32 flags = task->flags;

    if (state & (TASK_STOPPED_OR_TRACED | TASK_DEAD | TASK_RTLOCK_WAIT | TASK_FROZEN)) {
        if (state & TASK_DEAD)
            return VT_REASON_DEAD;
        return state & TASK_RTLOCK_WAIT ? VT_REASON_LOCK : VT_REASON_STOPPED;
    }
    if (waits_for_memory(task))
        return VT_REASON_MEMORY;
    if (BPF_CORE_READ_BITFIELD(task, in_iowait))
        return VT_REASON_DISK;
    if (BPF_CORE_READ_BITFIELD(task, frozen))
        return VT_REASON_STOPPED;
    if (flags & (PF_MEMALLOC | PF_KTHREAD | PF_IO_WORKER))
        return flags & (PF_KTHREAD | PF_IO_WORKER) ? VT_REASON_KTHREAD : VT_REASON_MEMORY;
    return VT_REASON_NONE;
}

#define NR_OPEN_DEFAULT 64 /* BITS_PER_LONG: a table of this size is within files_struct */
#define LOW_FILES 16

struct file_kind {
    __u32 mode;
    __u32 flags;
};

/*
 * The verifier knows the type of what lies in files_struct, at places that are constants: there no helper is needed (a few
 * ns for a file, not 22).
 */
static __always_inline bool find_low_file(struct files_struct *files, __u64 fd,
                                          struct file_kind *kind)
{
    struct file *file = NULL;

#pragma clang loop unroll(full)
    for (__u32 i = 0; i < LOW_FILES; i++) {
        if (fd == i) {
            file = files->fd_array[i];
            break;
        }
    }
    if (!file)
        return false;
    kind->mode = file->f_inode->i_mode;
    if ((kind->mode & S_IFMT) == S_IFREG)
        kind->flags = file->f_inode->i_flags;
    return true;
}

static __always_inline void find_file(struct file **place, struct file_kind *kind)
{
    struct file *file = NULL;
    struct inode *inode;

    bpf_core_read(&file, sizeof(file), place);
    inode = BPF_CORE_READ(file, f_inode);
    kind->mode = BPF_CORE_READ(inode, i_mode);
    if ((kind->mode & S_IFMT) == S_IFREG)
        kind->flags = BPF_CORE_READ(inode, i_flags);
}

/* By the kind of file that a descriptor of the task names. */
static __always_inline __u8 file_reason(struct task_struct *task, __u64 fd)
{
    struct files_struct *files = task->files;
    struct fdtable *table = files->fdt;
    struct file_kind file = {};
    __u32 kind;

    if (fd >= table->max_fds)
        return VT_REASON_NONE;
    if (table->max_fds != NR_OPEN_DEFAULT || !find_low_file(files, fd, &file))
        find_file(&table->fd[fd], &file);
    kind = file.mode & S_IFMT;
    if (kind == S_IFSOCK)
        return VT_REASON_SOCKET;
    if (kind == S_IFIFO)
        return VT_REASON_PIPE;
    if (kind == S_IFBLK || kind == S_IFDIR)
        return VT_REASON_DISK;
    /* What has no file behind it (an eventfd, say) is of no kind, or marked (since 6.16, 19bbfe7b5fcc). */
    if (kind == S_IFREG && !(file.flags & S_ANON_INODE))
        return VT_REASON_DISK;
    return VT_REASON_NONE;
}

#define F_SETLKW 7
#define F_OFD_SETLKW 38

/* By the system call that the task is in; VT_REASON_NONE if that does not tell. */
static __always_inline __u8 called_reason(struct task_struct *task)
{
    struct system_call call;
    __u8 reason;

    if (!find_system_call(task, &call))
        return VT_REASON_NONE;
    if (call.number < 0)
        return task->flags & PF_EXITING ? VT_REASON_NONE : VT_REASON_FAULT;
    if (call.number >= VT_SYSCALLS)
        return VT_REASON_NONE;
    reason = syscall_reasons[call.number];
    if (reason == VT_SYSCALL_FILE)
        return file_reason(task, (__u32)call.first);
    if (reason == VT_SYSCALL_FCNTL)
        return call.second == F_SETLKW || call.second == F_OFD_SETLKW ? VT_REASON_LOCK
                                                                      : VT_REASON_NONE;
    return reason;
}

/* Of a task that leaves its CPU now, or has left it and did not come back. */
static __always_inline __u8 off_reason(struct task_struct *task, bool preempted)
{
    struct task_struct___since_6_18 *since_6_18 = (void *)task;
    __u32 state = task_state(task);
    __u8 reason;

    if (preempted || !state) {
        if (bpf_core_field_exists(since_6_18->throttled) && since_6_18->throttled)
            return VT_REASON_THROTTLED;
        return VT_REASON_RUNNABLE;
    }
    reason = noted_reason(task, state);
    if (!reason)
        reason = called_reason(task);
    if (!reason)
        reason = state & TASK_UNINTERRUPTIBLE ? VT_REASON_BLOCKED : VT_REASON_OTHER;
    return reason;
}

static __always_inline __u8 task_reason(struct vt_sched_task *state)
{
    return (state->flags & VT_TASK_REASON) >> VT_TASK_REASON_SHIFT;
}

static __always_inline bool is_runnable(__u8 reason)
{
    return reason == VT_REASON_RUNNABLE || reason == VT_REASON_THROTTLED;
}

#endif
