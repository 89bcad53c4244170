/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/kvm.bpf.c, bpf/sched.bpf.c and user/collect/vm_watcher.cpp share. */
#ifndef VTRACE_VM_H
#define VTRACE_VM_H

#include <linux/types.h>

#define VT_CLOCK_TICK_NS 10000000ULL /* of /proc/PID/stat: USER_HZ is 100 */

/* A process of a VM: its VMM, or one of the kernel's that serves it. */
struct vt_vm_process {
    __u64 start_time; /* clock ticks since boot: a later process of that number is another one */
    __u64 vm;         /* vt_vm_id() of the VMM */
};

/* A VM for as long as a host is up: numbers of processes are used again. PID_MAX_LIMIT is 2^22. */
#ifdef __cplusplus
constexpr
#endif
    static inline __attribute__((always_inline)) __u64
    vt_vm_id(__u32 tgid, __u64 start_time)
{
    return start_time << 22 | tgid;
}

#endif
