/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads of the kernel's own as owners. */
#ifndef VTRACE_COMMON_KTHREAD_BPF_H
#define VTRACE_COMMON_KTHREAD_BPF_H

#include "common/kernel.bpf.h"
#include "vtrace/sched.h"

/* A thread of the kernel's own that serves no VM and was put into no cgroup. */
static __always_inline bool is_kernels_own(struct task_struct *task, struct cgroup *cgroup,
                                           __u64 vm)
{
    return (BPF_CORE_READ(task, flags) & PF_KTHREAD) && !vm && !BPF_CORE_READ(cgroup, self.parent);
}

/* Its name up to a slash (kworker/0:1 is kworker) as an owner. */
static __always_inline void kthread_owner(struct task_struct *task, struct vt_owner *owner)
{
    union {
        char name[VT_COMM_LEN];
        struct vt_owner owner;
    } by = {};
    bool cut = false;

    bpf_probe_read_kernel(by.name, sizeof(by.name), task->comm);
#pragma clang loop unroll(full)
    for (int i = 0; i < VT_COMM_LEN; i++) {
        cut = cut || by.name[i] == '/' || !by.name[i];
        if (cut)
            by.name[i] = 0;
    }
    *owner = by.owner;
    owner->vm = (owner->vm & ((1ULL << VT_OWNER_KIND_SHIFT) - 1)) | (__u64)VT_OWNER_KTHREAD
                                                                        << VT_OWNER_KIND_SHIFT;
}

#endif
