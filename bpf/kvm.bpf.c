/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM: which processes run a VM.
 */
#include "common/vm.bpf.h"

#define PF_KTHREAD 0x00200000

struct vt_vms vms SEC(".maps");

/* Counts changes of vms, by either side, and moves of any task between cgroups. */
__u64 owner_changes = 0;
__u64 vms_dropped = 0; /* not in vms: it was full */

/*
 * A VM is found as it gets its first vCPU, in the thread that asks for it. On x86 that writes the vCPU's TSC
 * offset, which happens hardly ever again (not for guests with a TSC of their own, TDX and Secure TSC: user
 * space finds those a little later). Elsewhere it is the first return from the guest to its VMM.
 */
#ifdef __TARGET_ARCH_x86
SEC("raw_tp/kvm_write_tsc_offset")
#else
SEC("raw_tp/kvm_userspace_exit")
#endif
int BPF_PROG(kvm_vm_found)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    __u32 tgid = bpf_get_current_pid_tgid() >> 32;
    struct vt_vm_process process, *known;
    long error;

    process.start_time = process_start_time(task);
    known = bpf_map_lookup_elem(&vms, &tgid);
    if (known && known->start_time == process.start_time)
        return 0;
    /* A worker of the kernel may be the last to hold a VM. */
    if (BPF_CORE_READ(task, flags) & PF_KTHREAD)
        return 0;
    process.vm = vt_vm_id(tgid, process.start_time);
    error = bpf_map_update_elem(&vms, &tgid, &process, BPF_ANY);
    __sync_fetch_and_add(error ? &vms_dropped : &owner_changes, 1);
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
