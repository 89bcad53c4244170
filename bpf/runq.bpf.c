/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lengths of run queues, by samples: a perf event on the CPU clock asks each CPU for its own. It comes as an
 * interrupt, so never while this CPU holds its queue's lock; others may change the queue meanwhile.
 * That is why the list of tasks is read by helper, with an end, and only as far as it is of this CPU.
 */
#include "common/cgroup.bpf.h"
#include "common/kernel.bpf.h"
#include "common/vm.bpf.h"
#include "vtrace/runq.h"

const volatile bool runq_owners_wanted = false; /* not only by CPU */
const volatile bool runq_by_vm = false;         /* VMs apart from what else is in their cgroups */
const volatile __u64 runq_target_vm = 0;        /* 0 is every VM, and what is in none */

extern struct vt_vms vms SEC(".maps"); /* bpf/kvm.bpf.c */

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_runq_cpu);
} runq_cpus SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct vt_runq_key);
    __type(value, struct vt_runq_owner);
} runq_owners SEC(".maps");

/* Tasks that went to sleep and are still queued for a moment do not wait (since 6.12). */
static __always_inline __u32 asleep_in_queue(struct rq *rq)
{
    struct rq___with_runnable *with = (void *)rq;

    if (!bpf_core_field_exists(with->cfs.h_nr_runnable))
        return 0;
    return BPF_CORE_READ(with, cfs.h_nr_queued) - BPF_CORE_READ(with, cfs.h_nr_runnable);
}

/* The VM that a task is part of, or serves. */
static __always_inline __u64 read_task_vm(struct task_struct *task)
{
    struct vt_vm_process *process;
    __u32 tgid;

    if (!runq_by_vm)
        return 0;
    tgid = BPF_CORE_READ(task, tgid);
    process = bpf_map_lookup_elem(&vms, &tgid);
    if (!process || process->start_time != process_start_time(task))
        return 0;
    return process->vm;
}

static __always_inline void owner_waits(struct vt_runq_cpu *cpu, struct task_struct *task,
                                        __u32 number)
{
    struct cgroup *cgroup = read_task_cgroup(task);
    struct vt_runq_key key = {
        .cgroup_id = cgroup_id(cgroup), .vm = read_task_vm(task), .cpu = number};
    struct vt_runq_owner *owner, none = {};

    if (!cgroup_selected(cgroup) || (runq_target_vm && key.vm != runq_target_vm))
        return;
    owner = bpf_map_lookup_elem(&runq_owners, &key);
    if (!owner) {
        bpf_map_update_elem(&runq_owners, &key, &none, BPF_NOEXIST);
        owner = bpf_map_lookup_elem(&runq_owners, &key);
    }
    if (!owner) {
        cpu->map_full++;
        return;
    }
    if (owner->sample != cpu->samples) {
        owner->sample = cpu->samples;
        owner->seen++;
    }
    owner->sum++;
}

/* True if a task that is in the list waits for the CPU. */
static __always_inline bool waits(struct task_struct *task)
{
    struct sched_entity___since_6_12 *entity = (void *)&task->se;
    struct task_struct___since_6_18 *since_6_18 = (void *)task;

    if (bpf_core_field_exists(entity->sched_delayed) && BPF_CORE_READ(entity, sched_delayed))
        return false;
    /* Until 6.17 the tasks of a throttled queue stay in the list. */
    if (!bpf_core_field_exists(since_6_18->throttled) &&
        BPF_CORE_READ(task, se.cfs_rq, throttle_count))
        return false;
    return true;
}

static __always_inline void walk(struct vt_runq_cpu *cpu, struct rq *rq,
                                 struct task_struct *current, __u32 number)
{
    struct list_head *head = (void *)rq + bpf_core_field_offset(rq->cfs_tasks);
    struct list_head *at = BPF_CORE_READ(head, next);
    struct task_struct *task;

    for (int i = 0; i < VT_RUNQ_WALK; i++) {
        if (!at || at == head)
            return;
        task = (void *)at - bpf_core_field_offset(task->se) -
               bpf_core_field_offset(struct sched_entity, group_node);
        if (task != current) {
            if (BPF_CORE_READ(task, se.cfs_rq, rq) != rq)
                break; /* moved to another CPU as it was looked at */
            if (waits(task))
                owner_waits(cpu, task, number);
        }
        at = BPF_CORE_READ(at, next);
    }
    cpu->cut++;
}

SEC("perf_event")
int runq_sample(void *ctx)
{
    struct task_struct *current = (void *)bpf_get_current_task();
    struct rq *rq = BPF_CORE_READ(current, se.cfs_rq, rq);
    __u32 number = bpf_get_smp_processor_id();
    struct vt_runq_cpu *cpu = bpf_map_lookup_elem(&runq_cpus, &number);
    __u32 length, bucket;

    if (!cpu)
        return 0;
    length = BPF_CORE_READ(rq, nr_running) - asleep_in_queue(rq);
    if (length && BPF_CORE_READ(current, pid))
        length--; /* the running one */
    bucket = length < VT_RUNQ_LENGTHS ? length : VT_RUNQ_LENGTHS - 1;
    cpu->samples++;
    if (!BPF_CORE_READ(current, pid))
        cpu->idle++;
    cpu->sum += length;
    barrier_var(
        bucket); /* the verifier of 5.10 sees the bound in the register that is used, or not at all */
    if (bucket < VT_RUNQ_LENGTHS)
        cpu->lengths[bucket]++;
    if (runq_owners_wanted && length)
        walk(cpu, rq, current, number);
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
