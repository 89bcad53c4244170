/* SPDX-License-Identifier: GPL-2.0-only */
/* Which threads run vCPUs, and where their figures are. */
#ifndef VTRACE_COMMON_VCPU_BPF_H
#define VTRACE_COMMON_VCPU_BPF_H

#include "common/hist_add.bpf.h"
#include "common/vm.bpf.h"
#include "vtrace/kvm.h"

const volatile __u64 kvm_target_vm = 0; /* 0 is every VM */
const volatile __u32 kvm_slots = 1;

__u32 kvm_epoch = 1;         /* as hist_epoch */
__u32 kvm_slots_used = 1;    /* taken by now, but for those given back; 0 is VT_KVM_SLOT_OTHER */
__u64 kvm_map_full = 0;      /* events in no figure but that of the slot 0 */
__u64 kvm_vcpus_missing = 0; /* events of threads that there was no room for */
__u64 kvm_clock_anomaly = 0; /* exits that ended before they began */
__u64 kvm_missed_start = 0;  /* exits whose time is not known: the entry after them was not seen */

/* Preallocated: made in tracepoints. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct vt_vcpu);
} kvm_vcpus SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, struct vt_kvm_key);
    __type(value, __u32);
} kvm_slot_of SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_kvm_key);
} kvm_keys SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_kvm_stat);
} kvm_stats SEC(".maps");

/* Slots that were given back. */
struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1);
    __type(value, __u32);
} kvm_free_slots SEC(".maps");

static __noinline struct vt_vcpu *new_vcpu(void)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    __u64 both = bpf_get_current_pid_tgid();
    struct vt_vcpu vcpu = {};
    __u32 tid = both;

    vcpu.vm = vt_vm_id(both >> 32, process_start_time(task));
    vcpu.excluded = kvm_target_vm && vcpu.vm != kvm_target_vm;
    bpf_map_update_elem(&kvm_vcpus, &tid, &vcpu, BPF_NOEXIST);
    return bpf_map_lookup_elem(&kvm_vcpus, &tid);
}

/* Of the current thread, which runs one; NULL if it was not asked for. */
static __always_inline struct vt_vcpu *this_vcpu(void)
{
    __u32 tid = bpf_get_current_pid_tgid();
    struct vt_vcpu *vcpu = bpf_map_lookup_elem(&kvm_vcpus, &tid);

    if (!vcpu) {
        vcpu = new_vcpu();
        if (!vcpu) {
            __sync_fetch_and_add(&kvm_vcpus_missing, 1);
            return NULL;
        }
    }
    return vcpu->excluded ? NULL : vcpu;
}

/* The slot of a key, taken at its first event; VT_KVM_SLOT_OTHER if there is none. */
static __noinline __u32 kvm_find_slot(struct vt_kvm_key *key)
{
    __u32 *known, slot;

    if (!key)
        return VT_KVM_SLOT_OTHER;
    known = bpf_map_lookup_elem(&kvm_slot_of, key);
    if (known)
        return *known;
    if (bpf_map_pop_elem(&kvm_free_slots, &slot)) {
        if (kvm_slots_used >= kvm_slots)
            return VT_KVM_SLOT_OTHER;
        slot = __sync_fetch_and_add(&kvm_slots_used, 1);
        if (slot >= kvm_slots)
            return VT_KVM_SLOT_OTHER;
    }
    bpf_map_update_elem(&kvm_keys, &slot, key, BPF_ANY); /* before the first event in it */
    if (bpf_map_update_elem(&kvm_slot_of, key, &slot, BPF_NOEXIST)) {
        /* Another CPU was faster (with keys of a VM as a whole). */
        bpf_map_push_elem(&kvm_free_slots, &slot, 0);
        known = bpf_map_lookup_elem(&kvm_slot_of, key);
        return known ? *known : VT_KVM_SLOT_OTHER;
    }
    return slot;
}

static __always_inline struct vt_kvm_stat *kvm_stat(__u32 slot)
{
    if (slot != VT_KVM_SLOT_OTHER)
        return bpf_map_lookup_elem(&kvm_stats, &slot);
    __sync_fetch_and_add(&kvm_map_full, 1);
    return NULL;
}

/* The slot of one of a vCPU's own keys, remembered by it. */
static __always_inline __u32 vcpu_slot(struct vt_vcpu *vcpu, __u8 kind, __u64 code, __u8 isa,
                                       __u8 flags)
{
    struct vt_kvm_known *known = &vcpu->known[(code ^ kind * 3 ^ flags) & (VT_KVM_KNOWN - 1)];
    struct vt_kvm_key key = {};

    if (known->slot && known->code == code && known->kind == kind && known->isa == isa &&
        known->flags == flags)
        return known->slot;
    key.code = code;
    key.vm = vcpu->vm;
    key.tid = bpf_get_current_pid_tgid();
    key.kind = kind;
    key.isa = isa;
    key.flags = flags;
    known->slot = kvm_find_slot(&key);
    known->code = code;
    known->kind = kind;
    known->isa = isa;
    known->flags = flags;
    return known->slot;
}

/* Counts an event of a vCPU; the slot that it was counted in. */
static __always_inline __u32 count_event(struct vt_vcpu *vcpu, __u8 kind, __u64 code, __u8 isa,
                                         __u8 flags)
{
    __u32 slot = vcpu_slot(vcpu, kind, code, isa, flags);
    struct vt_kvm_stat *stat = kvm_stat(slot);

    if (stat)
        stat->count++;
    return slot;
}

/* Counts an event of a VM as a whole, which any thread may cause. */
static __always_inline void count_of_vm(__u64 vm, __u8 kind, __u64 code, __u64 amount)
{
    struct vt_kvm_key key = {};
    struct vt_kvm_stat *stat;

    key.code = code;
    key.vm = vm;
    key.kind = kind;
    stat = kvm_stat(kvm_find_slot(&key));
    if (!stat)
        return;
    __sync_fetch_and_add(&stat->count, 1);
    if (amount)
        __sync_fetch_and_add(&stat->amount, amount);
}

#endif
