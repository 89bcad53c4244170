/* SPDX-License-Identifier: GPL-2.0-only */
/* Which processes are VMs: filled by bpf/kvm.bpf.c and user/collect/vm_watcher.cpp. */
#ifndef VTRACE_COMMON_VM_BPF_H
#define VTRACE_COMMON_VM_BPF_H

#include "common/kernel.bpf.h"
#include "vtrace/vm.h"

/* By tgid. */
struct vt_vms {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, __u32);
    __type(value, struct vt_vm_process);
};

/* As /proc/PID/stat has it, whatever the kernel's HZ. */
static __always_inline __u64 process_start_time(struct task_struct *task)
{
    return BPF_CORE_READ(task, group_leader, start_boottime) / VT_CLOCK_TICK_NS;
}

#endif
