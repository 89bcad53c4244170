/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of bpf/sched.bpf.c share: which of them are on, and what is kept about a task and a CPU. */
#ifndef VTRACE_COMMON_TASKS_BPF_H
#define VTRACE_COMMON_TASKS_BPF_H

#include "common/kernel.bpf.h"
#include "common/task_filter.bpf.h"
#include "vtrace/sched.h"
#include "vtrace/states.h"

/* The parts of the hook on sched_switch; see struct vt_on. */
const volatile bool waits = false;      /* histograms of waits for a CPU */
const volatile bool throttling = false; /* and of their throttled parts */
const volatile bool blame = false;      /* who ran meanwhile */
const volatile bool slices = false;     /* histograms of time on a CPU */
const volatile bool offcpu = false;     /* histograms of time off it */
const volatile bool states = false;     /* where the time of threads goes */

const volatile bool use_task_storage = true;
const volatile bool by_cgroup = false;
const volatile bool by_vm =
    false; /* with by_cgroup: VMs apart from what else is in their cgroups */
const volatile __u64 target_vm = 0; /* 0 is every VM, and what is in none */
const volatile __u64 slower_ns = 0; /* 0 reports no single waits */
const volatile __u32 slow_per_second = 1000;

#define VT_EEXIST 17 /* errno.h is for user space */

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct vt_sched_task);
} sched_tasks SEC(".maps");

/* In place of sched_tasks where there is no task storage; sized from the threads at start. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, struct vt_sched_task_key);
    __type(value, struct vt_sched_task);
} sched_tasks_hash SEC(".maps");

/* In place of the two above with states. */
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct vt_stated_task);
} stated_tasks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, struct vt_sched_task_key);
    __type(value, struct vt_stated_task);
} stated_tasks_hash SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_sched_cpu);
} sched_cpus SEC(".maps");

static __always_inline struct vt_sched_cpu *this_cpu(void)
{
    __u32 cpu = bpf_get_smp_processor_id();

    return bpf_map_lookup_elem(&sched_cpus, &cpu);
}

#define COUNT(field)                                                                               \
    do {                                                                                           \
        struct vt_sched_cpu *cpu_ = this_cpu();                                                    \
        if (cpu_)                                                                                  \
            cpu_->field++;                                                                         \
    } while (0)

static __always_inline struct rq *task_rq(struct task_struct *task)
{
    return task->se.cfs_rq->rq;
}

static __always_inline struct vt_sched_task_key task_key(struct task_struct *task)
{
    struct vt_sched_task_key key = {.start_time = task->start_time, .tid = task->pid};

    return key;
}

static __always_inline struct vt_sched_task *find_task_in(struct task_struct *task, bool in_storage,
                                                          bool with_states)
{
    struct vt_sched_task_key key;

    if (in_storage && with_states)
        return bpf_task_storage_get(&stated_tasks, task, NULL, 0);
    if (in_storage)
        return bpf_task_storage_get(&sched_tasks, task, NULL, 0);
    key = task_key(task);
    if (with_states)
        return bpf_map_lookup_elem(&stated_tasks_hash, &key);
    return bpf_map_lookup_elem(&sched_tasks_hash, &key);
}

static __always_inline struct vt_sched_task *find_task(struct task_struct *task)
{
    return find_task_in(task, use_task_storage, states);
}

/* Finds it, or creates it with zeros. Allocates, so it is for process context only. */
static __always_inline struct vt_sched_task *create_task(struct task_struct *task)
{
    static const struct vt_stated_task none;
    struct vt_sched_task_key key;

    if (use_task_storage && states)
        return bpf_task_storage_get(&stated_tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (use_task_storage)
        return bpf_task_storage_get(&sched_tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
    key = task_key(task);
    if (states)
        bpf_map_update_elem(&stated_tasks_hash, &key, &none, BPF_NOEXIST);
    else
        bpf_map_update_elem(&sched_tasks_hash, &key, &none.sched, BPF_NOEXIST);
    return find_task(task);
}

static __always_inline bool on_cpu(struct task_struct *task)
{
    struct task_struct___since_7_2 *since_7_2 = (void *)task;
    struct task_struct___until_7_1 *until_7_1 = (void *)task;

    if (bpf_core_field_size(since_7_2->on_cpu) == sizeof(since_7_2->on_cpu))
        return BPF_CORE_READ(since_7_2, on_cpu);
    return BPF_CORE_READ(until_7_1, on_cpu);
}

/* The clock of an idle CPU stands still; the reader's CPU is not idle. */
static __always_inline __u64 rq_clock_here(void)
{
    struct task_struct *current = (void *)bpf_get_current_task();

    return BPF_CORE_READ(current, se.cfs_rq, rq, clock);
}

#endif
