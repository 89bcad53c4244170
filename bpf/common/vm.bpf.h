/* SPDX-License-Identifier: GPL-2.0-only */
/* Which processes run a VM: filled by bpf/kvm.bpf.c and user/collect/vm_watcher.cpp. */
#ifndef VTRACE_COMMON_VM_BPF_H
#define VTRACE_COMMON_VM_BPF_H

#include "common/kernel.bpf.h"

struct vt_vms {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, __u32);
    __type(value, __u32);
};

#endif
