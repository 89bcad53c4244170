/* SPDX-License-Identifier: GPL-2.0-only */
/* Whom the figures of a task are charged to: a cgroup or a VM, by a slot. */
#ifndef VTRACE_COMMON_OWNERS_BPF_H
#define VTRACE_COMMON_OWNERS_BPF_H

#include "common/cgroup.bpf.h"
#include "common/kthread.bpf.h"
#include "common/tasks.bpf.h"
#include "common/vm.bpf.h"

extern __u64 owner_changes; /* bpf/kvm.bpf.c */
extern struct vt_vms vms SEC(".maps");

/* Owner, or pair, to slot; the reverse is slot_owner. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, struct vt_owner);
    __type(value, __u32);
} owner_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct vt_owner);
} slot_owner SEC(".maps");

/* First in, first out: a slot that was given back rests for as long as possible. */
struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1024);
    __type(value, __u32);
} free_slots SEC(".maps");

/* The slot of an owner or a pair, taken at its first event. Maps are preallocated: safe here. */
static __noinline __u32 find_slot(__u64 id, __u64 vm)
{
    struct vt_owner owner = {.cgroup_id = id, .vm = vm};
    __u32 slot, *known;

    known = bpf_map_lookup_elem(&owner_slots, &owner);
    if (known)
        return *known;
    if (bpf_map_pop_elem(&free_slots, &slot))
        return VT_SLOT_OTHER;
    bpf_map_update_elem(&slot_owner, &slot, &owner, BPF_ANY); /* before the first event in it */
    if (bpf_map_update_elem(&owner_slots, &owner, &slot, BPF_NOEXIST)) {
        /* Another CPU was faster, or the hash is full. */
        bpf_map_push_elem(&free_slots, &slot, 0);
        known = bpf_map_lookup_elem(&owner_slots, &owner);
        return known ? *known : VT_SLOT_OTHER;
    }
    COUNT(slots_taken);
    return slot;
}

/* The VM that a task is part of, or serves. */
static __always_inline __u64 task_vm(struct task_struct *task)
{
    struct vt_vm_process *process;
    __u32 tgid = task->tgid;

    if (!by_vm)
        return 0;
    process = bpf_map_lookup_elem(&vms, &tgid);
    if (!process || process->start_time != process_start_time(task))
        return 0;
    return process->vm;
}

/* Looks the slot of a task's owner up, and whether it was asked for. */
static __noinline __u32 look_up_slot(struct task_struct *task, struct vt_sched_task *state)
{
    struct cgroup *cgroup = read_task_cgroup(task);
    __u64 vm = task_vm(task);
    struct vt_owner owner = {.cgroup_id = cgroup_id(cgroup), .vm = vm};

    state->flags &= ~VT_TASK_OUTSIDE;
    if (!cgroup_selected(cgroup) || (target_vm && vm != target_vm)) {
        if (!blame)
            return VT_SLOT_EXCLUDED;
        state->flags |= VT_TASK_OUTSIDE;
    }
    if (blame && is_kernels_own(task, cgroup, vm))
        kthread_owner(task, &owner);
    return find_slot(owner.cgroup_id, owner.vm);
}

/*
 * The slot of a task's owner, remembered for as long as the task has the same css_set: the way from there to
 * the id touches four more cache lines, most of them cold with thousands of cgroups.
 */
static __always_inline __u32 task_slot(struct task_struct *task, struct vt_sched_task *state)
{
    __u64 css_set = (__u64)task->cgroups;
    __u32 changes = owner_changes;

    if (state->css_set == css_set && state->changes == changes)
        return state->slot;
    state->slot = look_up_slot(task, state);
    /* An overflow is looked up anew each time: a slot may be free by then. */
    if (state->slot == VT_SLOT_OTHER) {
        COUNT(map_full);
        state->css_set = 0;
        return VT_SLOT_OTHER;
    }
    state->css_set = css_set;
    state->changes = changes;
    return state->slot;
}

/*
 * The slot that a task's figures go to, VT_SLOT_EXCLUDED if it was not asked for. `by_owner` is by_cgroup, or a
 * constant of the same value.
 */
static __always_inline __u32 charged_slot(struct task_struct *task, struct vt_sched_task *state,
                                          bool by_owner)
{
    __u32 slot = by_owner ? task_slot(task, state) : VT_SLOT_OTHER;

    if ((by_owner && (state->flags & VT_TASK_OUTSIDE)) || !task_selected(task, task->tgid))
        return VT_SLOT_EXCLUDED;
    return slot;
}

/* Of a task without a state: one that the iterator does not show, or that there was no memory for. */
static __noinline __u32 slot_of_unseen(struct task_struct *task)
{
    struct vt_sched_task state = {};
    __u32 slot = look_up_slot(task, &state);

    return slot == VT_SLOT_OTHER ? VT_CODE_UNKNOWN : slot;
}

#endif
