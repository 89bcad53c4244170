/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM: which processes run a VM, and what vCPUs leave their guests for.
 *
 * Raw tracepoints with the number of their arguments only, as KVM is a module on most hosts: its types are not
 * in the kernel's BTF, and on 5.10 nowhere. Where in a vCPU the reason of an exit is user space finds in the
 * module's BTF (user/bpf/kvm_layout.cpp).
 */
#include "common/vcpu.bpf.h"

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

/* ---- exits ---- */

const volatile struct vt_kvm_place kvm_vmx_reason = {};
const volatile struct vt_kvm_place kvm_svm_reason = {}; /* size 0: see kvm_exit_classic */
const volatile bool kvm_tells_exits = true;             /* kvm_exit and kvm_entry fire */
const volatile bool kvm_by_access = false;              /* times of exits by port or address, too */

enum bpf_func_id___since_5_11 {
    BPF_FUNC_get_current_task_btf___since_5_11 = 158,
};

/*
 * Of the current thread, on a CPU. What it ran is in sum_exec_runtime up to exec_start, so that their difference
 * stands still while it runs. Times in interrupts and stolen by a hypervisor above count as off the CPU.
 */
static __always_inline struct vt_kvm_account this_account(void)
{
    struct vt_kvm_account account;

    if (bpf_core_enum_value_exists(enum bpf_func_id___since_5_11,
                                   BPF_FUNC_get_current_task_btf___since_5_11)) {
        struct task_struct *task = bpf_get_current_task_btf();
        struct rq *rq = task->se.cfs_rq->rq;

        account.off = task->se.exec_start - task->se.sum_exec_runtime + rq->clock - rq->clock_task;
        account.waited = task->sched_info.run_delay;
    } else {
        struct task_struct *task = (void *)bpf_get_current_task();
        struct rq *rq = BPF_CORE_READ(task, se.cfs_rq, rq);

        account.off = BPF_CORE_READ(task, se.exec_start) -
                      BPF_CORE_READ(task, se.sum_exec_runtime) + BPF_CORE_READ(rq, clock) -
                      BPF_CORE_READ(rq, clock_task);
        account.waited = BPF_CORE_READ(task, sched_info.run_delay);
    }
    return account;
}

/* An exit's time as it is divided. */
struct vt_kvm_parts {
    __u64 whole;
    __u64 kernel;
    __u64 vmm;
    __u64 blocked;
    __u64 waited;
};

static __always_inline __u64 at_most(__u64 value, __u64 limit)
{
    /* A difference of two clocks may be a little below 0. */
    if ((__s64)value < 0)
        return 0;
    return value < limit ? value : limit;
}

static __always_inline void divide_exit(struct vt_vcpu *vcpu, __u64 now, struct vt_kvm_parts *parts)
{
    struct vt_kvm_account account = this_account();
    struct vt_kvm_account *kernel_end = &account;
    __u64 kernel_until = now, off;

    parts->vmm = 0;
    parts->waited = 0;
    if (vcpu->to_user) {
        __u64 in_vmm = now - vcpu->to_user;

        parts->waited = at_most(account.waited - vcpu->at_user.waited, in_vmm);
        parts->vmm = in_vmm - parts->waited;
        kernel_end = &vcpu->at_user;
        kernel_until = vcpu->to_user;
    }
    parts->kernel = kernel_until - vcpu->exited;
    off = at_most(kernel_end->off - vcpu->at_exit.off, parts->kernel);
    parts->kernel -= off;
    parts->blocked = off - at_most(kernel_end->waited - vcpu->at_exit.waited, off);
    parts->waited += off - parts->blocked;
}

static __always_inline void add_parts(struct vt_kvm_stat *stat, struct vt_kvm_parts *parts,
                                      bool to_vmm)
{
    stat->kernel += parts->kernel;
    stat->vmm += parts->vmm;
    stat->blocked += parts->blocked;
    stat->waited += parts->waited;
    stat->to_vmm += to_vmm;
    hist_add_in(&stat->time, parts->whole, 0, kvm_epoch);
}

static __always_inline void end_exit(struct vt_vcpu *vcpu, __u64 now)
{
    struct vt_kvm_parts parts;
    struct vt_kvm_stat *stat;
    bool to_vmm = vcpu->to_user != 0;

    parts.whole = now - vcpu->exited;
    if ((__s64)parts.whole < 0) {
        __sync_fetch_and_add(&kvm_clock_anomaly, 1);
        parts.whole = 0;
    }
    divide_exit(vcpu, now, &parts);
    stat = kvm_stat(vcpu_slot(vcpu, VT_KVM_EXIT, vcpu->code, vcpu->isa, vcpu->flags));
    if (stat) {
        stat->count++;
        add_parts(stat, &parts, to_vmm);
    }
    if (!kvm_by_access || !vcpu->io_slot)
        return;
    stat = bpf_map_lookup_elem(&kvm_stats, &vcpu->io_slot);
    if (stat)
        add_parts(stat, &parts, to_vmm);
}

static __always_inline int begin_exit(__u64 code, __u8 isa)
{
    struct vt_vcpu *vcpu = this_vcpu();
    __u64 now;

    if (!vcpu)
        return 0;
    now = bpf_ktime_get_ns();
    if (vcpu->entered)
        vcpu->guest += now - vcpu->entered;
    if (vcpu->exited) {
        struct vt_kvm_stat *stat =
            kvm_stat(vcpu_slot(vcpu, VT_KVM_EXIT, vcpu->code, vcpu->isa, vcpu->flags));

        if (stat)
            stat->count++;
        __sync_fetch_and_add(&kvm_missed_end, 1);
    }
    vcpu->entered = 0;
    vcpu->to_user = 0;
    vcpu->io_slot = 0;
    vcpu->code = code;
    vcpu->isa = isa;
    vcpu->flags = 0;
    vcpu->at_exit = this_account();
    vcpu->exited = now;
    return 0;
}

static __always_inline __u64 read_reason(__u64 vcpu, const volatile struct vt_kvm_place *where)
{
    __u64 code = 0;
    __u32 half = 0;

    if (where->pointer)
        bpf_probe_read_kernel(&vcpu, sizeof(vcpu), (void *)(vcpu + where->pointer));
    if (where->size == sizeof(half)) {
        bpf_probe_read_kernel(&half, sizeof(half), (void *)(vcpu + where->offset));
        return half;
    }
    bpf_probe_read_kernel(&code, sizeof(code), (void *)(vcpu + where->offset));
    return code;
}

#ifdef __TARGET_ARCH_arm64
#define VT_ARM_EXCEPTION_TRAP 2 /* arch/arm64/include/asm/kvm_asm.h */

/* (how it came to an end, with a bit for a pending SError; exception class; program counter) */
SEC("raw_tp/kvm_exit")
int kvm_exit(struct bpf_raw_tracepoint_args *args)
{
    __u64 how = args->args[0] & 0x7fffffff;

    return begin_exit(how == VT_ARM_EXCEPTION_TRAP ? args->args[1] : VT_KVM_ARM_OTHER + how,
                      VT_KVM_ARM64);
}
#else
/* (vcpu, isa), since 5.16 */
SEC("raw_tp/kvm_exit")
int kvm_exit(struct bpf_raw_tracepoint_args *args)
{
    __u8 isa = args->args[1];

    return begin_exit(
        read_reason(args->args[0], isa == VT_KVM_VMX ? &kvm_vmx_reason : &kvm_svm_reason), isa);
}
#endif

/* (reason, vcpu, isa), until 5.15: the kernel attaches it only where there are three. */
SEC("raw_tp/kvm_exit")
int kvm_exit_with_reason(struct bpf_raw_tracepoint_args *args)
{
    return begin_exit((__u32)args->args[0], args->args[2]);
}

/* Where the reason cannot be read: the record that the tracepoint makes, which costs more. (arch/x86/kvm/trace.h) */
struct vt_kvm_exit_record {
    __u64 common;
    __u32 exit_reason;
    __u64 guest_rip;
    __u32 isa;
};

SEC("tracepoint/kvm/kvm_exit")
int kvm_exit_classic(struct vt_kvm_exit_record *record)
{
    return begin_exit(record->exit_reason, record->isa);
}

SEC("raw_tp/kvm_entry")
int kvm_entry(void *args)
{
    struct vt_vcpu *vcpu = this_vcpu();
    __u64 now;

    if (!vcpu)
        return 0;
    now = bpf_ktime_get_ns();
    if (vcpu->exited)
        end_exit(vcpu, now);
    vcpu->exited = 0;
    vcpu->entered = now;
    if (vcpu->vector_slot) {
        struct vt_kvm_stat *stat = bpf_map_lookup_elem(&kvm_stats, &vcpu->vector_slot);

        if (stat && vcpu->asked && now > vcpu->asked)
            hist_add_in(&stat->time, now - vcpu->asked, 0, kvm_epoch);
        vcpu->vector_slot = 0;
    }
    return 0;
}

/* (reason, errno) */
SEC("raw_tp/kvm_userspace_exit")
int kvm_to_vmm(struct bpf_raw_tracepoint_args *args)
{
    struct vt_vcpu *vcpu = this_vcpu();

    if (!vcpu)
        return 0;
    if (!kvm_tells_exits) {
        int error = args->args[1];

        count_event(vcpu, VT_KVM_USER, error < 0 ? (__u64)(__s64)error : (__u32)args->args[0],
                    VT_KVM_TO_USER, 0);
        return 0;
    }
    if (!vcpu->exited || vcpu->to_user)
        return 0; /* the VMM came back, and left again before the guest was entered: of the same exit */
    vcpu->to_user = bpf_ktime_get_ns();
    vcpu->at_user = this_account();
    return 0;
}

/* ---- accesses ---- */

/* (1 if it writes, port, size, count, value) */
SEC("raw_tp/kvm_pio")
int kvm_pio(struct bpf_raw_tracepoint_args *args)
{
    struct vt_vcpu *vcpu = this_vcpu();

    if (vcpu)
        vcpu->io_slot = count_event(vcpu, VT_KVM_PIO, (__u16)args->args[1], 0,
                                    args->args[0] ? VT_KVM_WRITE : 0);
    return 0;
}

/* (0: a read that the VMM has to serve, 1: a read, 2: a write; length, address, value) */
SEC("raw_tp/kvm_mmio")
int kvm_mmio(struct bpf_raw_tracepoint_args *args)
{
    struct vt_vcpu *vcpu = this_vcpu();
    __u32 type = args->args[0];

    if (!vcpu)
        return 0;
    vcpu->flags |= VT_KVM_IS_MMIO;
    if (type != 0 && (kvm_by_access || !kvm_tells_exits))
        vcpu->io_slot = count_event(vcpu, VT_KVM_MMIO, kvm_by_access ? args->args[2] : 0, 0,
                                    type == 2 ? VT_KVM_WRITE : 0);
    return 0;
}

/* A write that only wakes somebody up: (address). VMX only. */
SEC("raw_tp/kvm_fast_mmio")
int kvm_fast_mmio(struct bpf_raw_tracepoint_args *args)
{
    struct vt_vcpu *vcpu = this_vcpu();

    if (!vcpu)
        return 0;
    vcpu->flags |= VT_KVM_IS_MMIO;
    vcpu->io_slot = count_event(vcpu, VT_KVM_MMIO, args->args[0], 0, VT_KVM_WRITE);
    return 0;
}

/* ---- other events ---- */

static __always_inline int count_one(__u64 event)
{
    struct vt_vcpu *vcpu = this_vcpu();

    if (vcpu)
        count_event(vcpu, VT_KVM_EVENT, event, 0, 0);
    return 0;
}

SEC("raw_tp/kvm_cpuid")
int kvm_cpuid(void *args)
{
    return count_one(VT_KVM_CPUID);
}

SEC("raw_tp/kvm_msr")
int kvm_msr(void *args)
{
    return count_one(VT_KVM_MSR);
}

SEC("raw_tp/kvm_emulate_insn")
int kvm_emulation(void *args)
{
    return count_one(VT_KVM_EMULATION);
}

SEC("raw_tp/kvm_hypercall")
int kvm_hypercall(void *args)
{
    return count_one(VT_KVM_HYPERCALL);
}

/* (ns, 1 if it slept, 1 if it was worth polling) */
SEC("raw_tp/kvm_vcpu_wakeup")
int kvm_halt(struct bpf_raw_tracepoint_args *args)
{
    struct vt_vcpu *vcpu = this_vcpu();
    struct vt_kvm_stat *stat;
    __u64 event;

    if (!vcpu)
        return 0;
    event = (__u8)args->args[1] ? VT_KVM_HALT_SLEPT : VT_KVM_HALT_POLLED;
    stat = kvm_stat_at(count_event(vcpu, VT_KVM_EVENT, event, 0, 0));
    if (stat)
        hist_add_in(&stat->time, args->args[0], 0, kvm_epoch);
    return 0;
}

/* ---- interrupts ---- */

/* When a message asked for an interrupt that was not injected by now. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, struct vt_kvm_asked);
    __type(value, __u64);
} kvm_asked SEC(".maps");

/* The VM that the current thread is of, or serves; 0 if it is not known, which `unknown` counts, or if it was not
 * asked for. */
static __always_inline __u64 vm_of_this_thread(__u64 *unknown)
{
    __u32 tgid = bpf_get_current_pid_tgid() >> 32;
    struct vt_vm_process *process = bpf_map_lookup_elem(&vms, &tgid);

    if (!process) {
        __sync_fetch_and_add(unknown, 1);
        return 0;
    }
    return !kvm_target_vm || process->vm == kvm_target_vm ? process->vm : 0;
}

__u64 kvm_msi_unknown = 0; /* messages of threads that are of no VM */

/* (address, data): the vector is the low byte of the data */
SEC("raw_tp/kvm_msi_set_irq")
int kvm_msi(struct bpf_raw_tracepoint_args *args)
{
    struct vt_kvm_asked key = {.vm = vm_of_this_thread(&kvm_msi_unknown),
                               .vector = (__u8)args->args[1]};
    __u64 now;

    if (!key.vm)
        return 0;
    count_of_vm(key.vm, VT_KVM_MSI, key.vector, 0);
    now = bpf_ktime_get_ns();
    bpf_map_update_elem(&kvm_asked, &key, &now, BPF_NOEXIST); /* it is pending since the first */
    return 0;
}

static __always_inline int injected(__u64 vector)
{
    struct vt_vcpu *vcpu = this_vcpu();
    struct vt_kvm_asked key = {};
    __u64 *asked;

    if (!vcpu)
        return 0;
    key.vm = vcpu->vm;
    key.vector = (__u8)vector;
    vcpu->vector_slot = count_event(vcpu, VT_KVM_VECTOR, key.vector, 0, 0);
    asked = bpf_map_lookup_elem(&kvm_asked, &key);
    vcpu->asked = asked ? *asked : 0;
    if (asked)
        bpf_map_delete_elem(&kvm_asked, &key);
    return 0;
}

/* (vector, soft, injected again as the guest did not get to take it), since 6.0 */
SEC("raw_tp/kvm_inj_virq")
int kvm_injected(struct bpf_raw_tracepoint_args *args)
{
    return (__u8)args->args[2] ? 0 : injected(args->args[0]);
}

/* (vector): those that are injected again are counted again */
SEC("raw_tp/kvm_inj_virq")
int kvm_injected_plain(struct bpf_raw_tracepoint_args *args)
{
    return injected(args->args[0]);
}

/* ---- memory ---- */

/* include/linux/sched.h: the task reclaims or compacts memory, whoever's that is */
#define PF_MEMALLOC 0x00000800

/* Of pages that nobody knows whose they are: threads of no VM unmapped them, or such that reclaim. */
__u64 kvm_unmap_unknown = 0;

/* (start, end): addresses of some process go out of the reach of its guest. Which one's is not told. */
SEC("raw_tp/kvm_unmap_hva_range")
int kvm_unmap(struct bpf_raw_tracepoint_args *args)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    __u64 vm;

    if (BPF_CORE_READ(task, flags) & PF_MEMALLOC) {
        __sync_fetch_and_add(&kvm_unmap_unknown, 1);
        return 0;
    }
    vm = vm_of_this_thread(&kvm_unmap_unknown);
    if (vm)
        count_of_vm(vm, VT_KVM_UNMAP, 0, args->args[1] - args->args[0]);
    return 0;
}

static __always_inline void release_place(__u32 tid)
{
    for (__u32 probe = 0; probe < VT_KVM_PROBES; probe++) {
        __u32 at = vcpu_place(tid, probe);
        __u32 *by = bpf_map_lookup_elem(&kvm_claims, &at);

        if (by && *by == tid)
            bpf_map_delete_elem(&kvm_claims, &at);
    }
}

/* A later thread of the same number is another one. */
SEC("raw_tp/sched_process_exit")
int kvm_thread_ends(void *args)
{
    __u32 tid = bpf_get_current_pid_tgid();
    struct vt_vcpu *vcpu = find_vcpu(tid);
    struct vt_kvm_stat *stat;

    if (!vcpu)
        return 0;
    if (!vcpu->excluded) {
        stat = kvm_stat_at(count_event(vcpu, VT_KVM_EVENT, VT_KVM_ENDED, 0, 0));
        if (stat)
            stat->amount += vcpu->guest;
    }
    for (int i = 0; i < VT_KVM_KNOWN; i++)
        settle(&vcpu->known[i]);
    vcpu->tid = 0;
    release_place(tid);
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
