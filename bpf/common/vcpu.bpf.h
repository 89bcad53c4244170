/* SPDX-License-Identifier: GPL-2.0-only */
/* Which threads run vCPUs, and where their figures are. */
#ifndef VTRACE_COMMON_VCPU_BPF_H
#define VTRACE_COMMON_VCPU_BPF_H

#include "common/hist_add.bpf.h"
#include "common/vm.bpf.h"
#include "vtrace/kvm.h"

const volatile __u64 kvm_target_vm = 0;   /* 0 is every VM */
const volatile __u32 kvm_vcpu_places = 1; /* of kvm_vcpus; a power of 2 */

__u32 kvm_epoch = 1;         /* as hist_epoch */
__u64 kvm_map_full = 0;      /* events in no figure: no slot was free */
__u64 kvm_vcpus_missing = 0; /* events of threads that there was no place for */
__u64 kvm_clock_anomaly = 0; /* exits that ended before they began */
__u64 kvm_missed_end = 0;    /* exits whose time is not known: the entry after them was not seen */

/*
 * Where a hash of its tid says (tids of a VM follow each other), or in one of the places behind that. An array, as
 * after an exit from a guest caches are cold: a map that hashes takes half as long again.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_vcpu);
} kvm_vcpus SEC(".maps");

/* Places that are taken, by whom: what two threads want at once one of them gets. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} kvm_claims SEC(".maps");

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

/* First in, first out: a slot that was given back rests for as long as possible. */
struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1);
    __type(value, __u32);
} kvm_free_slots SEC(".maps");

static const struct vt_vcpu kvm_no_vcpu = {};

static __always_inline __u32 vcpu_place(__u32 tid, __u32 probe)
{
    return ((__u32)(tid * 0x9e3779b97f4a7c15ULL >> 32) + probe) & (kvm_vcpu_places - 1);
}

static __always_inline struct vt_vcpu *vcpu_at(__u32 tid, __u32 probe)
{
    __u32 at = vcpu_place(tid, probe);

    return bpf_map_lookup_elem(&kvm_vcpus, &at);
}

static __noinline struct vt_vcpu *find_further(__u32 tid)
{
    for (__u32 probe = 1; probe < VT_KVM_PROBES; probe++) {
        struct vt_vcpu *vcpu = vcpu_at(tid, probe);

        if (vcpu && vcpu->tid == tid)
            return vcpu;
    }
    return NULL;
}

static __always_inline struct vt_vcpu *find_vcpu(__u32 tid)
{
    struct vt_vcpu *vcpu = vcpu_at(tid, 0);

    return vcpu && vcpu->tid == tid ? vcpu : find_further(tid);
}

static __noinline struct vt_vcpu *new_vcpu(__u32 tid)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    __u32 tgid = bpf_get_current_pid_tgid() >> 32;

    for (__u32 probe = 0; probe < VT_KVM_PROBES; probe++) {
        __u32 at = vcpu_place(tid, probe);
        struct vt_vcpu *vcpu;

        if (bpf_map_update_elem(&kvm_claims, &at, &tid, BPF_NOEXIST))
            continue;
        bpf_map_update_elem(&kvm_vcpus, &at, &kvm_no_vcpu, BPF_ANY);
        vcpu = bpf_map_lookup_elem(&kvm_vcpus, &at);
        if (!vcpu)
            break;
        vcpu->vm = vt_vm_id(tgid, process_start_time(task));
        vcpu->excluded = kvm_target_vm && vcpu->vm != kvm_target_vm;
        vcpu->tid = tid;
        return vcpu;
    }
    __sync_fetch_and_add(&kvm_vcpus_missing, 1);
    return NULL;
}

/* Of the current thread, which runs one; NULL if it was not asked for. */
static __always_inline struct vt_vcpu *this_vcpu(void)
{
    __u32 tid = bpf_get_current_pid_tgid();
    struct vt_vcpu *vcpu = find_vcpu(tid);

    if (!vcpu)
        vcpu = new_vcpu(tid);
    return vcpu && !vcpu->excluded ? vcpu : NULL;
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
    if (bpf_map_pop_elem(&kvm_free_slots, &slot))
        return VT_KVM_SLOT_OTHER;
    bpf_map_update_elem(&kvm_keys, &slot, key, BPF_ANY); /* before the first event in it */
    if (bpf_map_update_elem(&kvm_slot_of, key, &slot, BPF_NOEXIST)) {
        /* Another CPU was faster (with keys of a VM as a whole). */
        bpf_map_push_elem(&kvm_free_slots, &slot, 0);
        known = bpf_map_lookup_elem(&kvm_slot_of, key);
        return known ? *known : VT_KVM_SLOT_OTHER;
    }
    return slot;
}

/* Of an event that is counted already. */
static __always_inline struct vt_kvm_stat *kvm_stat_at(__u32 slot)
{
    return slot == VT_KVM_SLOT_OTHER ? NULL : bpf_map_lookup_elem(&kvm_stats, &slot);
}

static __always_inline struct vt_kvm_stat *kvm_stat(__u32 slot)
{
    if (slot == VT_KVM_SLOT_OTHER)
        __sync_fetch_and_add(&kvm_map_full, 1);
    return kvm_stat_at(slot);
}

/* Brings what was counted to where it is kept, before the place is used for another slot. */
static __always_inline void settle(struct vt_kvm_known *known)
{
    struct vt_kvm_stat *stat;

    if (!known->count)
        return;
    stat = bpf_map_lookup_elem(&kvm_stats, &known->slot);
    if (stat)
        stat->count += known->count;
    known->count = 0;
}

static __noinline void know(struct vt_kvm_known *known, struct vt_kvm_key *key)
{
    if (!known || !key)
        return;
    settle(known);
    known->slot = kvm_find_slot(key);
    known->code = key->code;
    known->kind = key->kind;
    known->isa = key->isa;
    known->flags = key->flags;
}

/* One of a vCPU's own keys, with its slot. */
static __always_inline struct vt_kvm_known *known_key(struct vt_vcpu *vcpu, __u8 kind, __u64 code,
                                                      __u8 isa, __u8 flags)
{
    struct vt_kvm_known *known = &vcpu->known[(code ^ kind * 3 ^ flags) & (VT_KVM_KNOWN - 1)];
    struct vt_kvm_key key = {};

    if (known->slot && known->code == code && known->kind == kind && known->isa == isa &&
        known->flags == flags)
        return known;
    key.code = code;
    key.vm = vcpu->vm;
    key.tid = bpf_get_current_pid_tgid();
    key.kind = kind;
    key.isa = isa;
    key.flags = flags;
    know(known, &key);
    return known;
}

static __always_inline __u32 vcpu_slot(struct vt_vcpu *vcpu, __u8 kind, __u64 code, __u8 isa,
                                       __u8 flags)
{
    return known_key(vcpu, kind, code, isa, flags)->slot;
}

/* Counts an event of a vCPU; the slot that it was counted in. */
static __always_inline __u32 count_event(struct vt_vcpu *vcpu, __u8 kind, __u64 code, __u8 isa,
                                         __u8 flags)
{
    struct vt_kvm_known *known = known_key(vcpu, kind, code, isa, flags);

    if (known->slot != VT_KVM_SLOT_OTHER)
        known->count++;
    else
        __sync_fetch_and_add(&kvm_map_full, 1);
    return known->slot;
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
