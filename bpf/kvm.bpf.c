/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM: which processes run a VM.
 */
#include "common/vm.bpf.h"

/* A process of a VM (its VMM, or a kernel thread that serves it) to the process of its VMM. */
struct vt_vms vms SEC(".maps");

/* Counts changes of vms, by either side, and moves of any task between cgroups. */
__u64 owner_changes = 0;
__u64 vms_dropped = 0; /* not in vms: it was full */

/*
 * A VM is found as it gets its first vCPU, in the thread that asks for it. On x86 that writes the vCPU's TSC
 * offset, which happens hardly ever again; elsewhere it is the first return from the guest to its VMM.
 */
#ifdef __TARGET_ARCH_x86
SEC("raw_tp/kvm_write_tsc_offset")
#else
SEC("raw_tp/kvm_userspace_exit")
#endif
int BPF_PROG(kvm_vm_found)
{
    __u32 tgid = bpf_get_current_pid_tgid() >> 32;

    if (bpf_map_lookup_elem(&vms, &tgid))
        return 0;
    if (bpf_map_update_elem(&vms, &tgid, &tgid, BPF_NOEXIST))
        __sync_fetch_and_add(&vms_dropped, 1);
    __sync_fetch_and_add(&owner_changes, 1);
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
