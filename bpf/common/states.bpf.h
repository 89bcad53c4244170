/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the time of threads goes. How long a thread ran and waited for a CPU the kernel keeps itself; the hook
 * adds what it cannot tell: for what a thread was off its CPU. All else is read at each report, thread by
 * thread (tell()), and as a thread ends.
 */
#ifndef VTRACE_COMMON_STATES_BPF_H
#define VTRACE_COMMON_STATES_BPF_H

#include "common/owners.bpf.h"
#include "common/reason.bpf.h"
#include "common/tasks.bpf.h"
#include "common/throttle.bpf.h"
#include "vtrace/states.h"

/* What threads had since their last report as they ended, by the slot of their owner. Only ever grows. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_thread_times);
} states_ended SEC(".maps");

static __always_inline struct vt_state_task *states_of(struct vt_sched_task *task)
{
    return &((struct vt_stated_task *)task)->states;
}

/* The present state of a thread, as far as it is in no sum yet. */
struct vt_present {
    __u64 ran; /* since the kernel last added it up */
    __u64 stolen;
    __u64 waits; /* for a CPU, throttled or not */
    __u64 throttled;
    __u64 blocked; /* for `reason`, before that wait */
    __u32 reason;
};

/* Of a slice that began at cpu->since. */
static __always_inline __u64 stolen_from(struct vt_sched_cpu *cpu, __u64 clock, __u64 clock_task)
{
    __u64 stolen = (clock - cpu->since) - (clock_task - cpu->ran);

    return cpu->since && (__s64)stolen > 0 ? stolen : 0;
}

static __always_inline void running_state(struct task_struct *task, __u64 clock,
                                          struct vt_present *now)
{
    struct rq *rq = BPF_CORE_READ(task, se.cfs_rq, rq);
    __u32 number = BPF_CORE_READ(rq, cpu);
    struct vt_sched_cpu *cpu = bpf_map_lookup_elem(&sched_cpus, &number);
    __u64 rq_clock = BPF_CORE_READ(rq, clock), clock_task = BPF_CORE_READ(rq, clock_task);
    __u64 start = task->se.exec_start + (rq_clock - clock_task);

    if (clock > start)
        now->ran = clock - start;
    if (cpu && cpu->tid == (__u32)task->pid)
        now->stolen = stolen_from(cpu, rq_clock, clock_task);
}

static __always_inline void present_state(struct task_struct *task, struct vt_sched_task *state,
                                          __u64 clock, struct vt_present *now)
{
    __u64 queued = task->sched_info.last_queued;
    __u64 off, waited;

    if (on_cpu(task)) {
        running_state(task, clock, now);
        return;
    }
    if (queued && clock > queued && !task_state(task) && !(state->flags & VT_TASK_STALE)) {
        now->waits = clock - queued;
        now->throttled = throttled_by_now(task, state, clock);
        if (now->throttled > now->waits)
            now->throttled = now->waits;
    }
    now->reason = task_reason(state);
    if (is_runnable(now->reason) || !state->off_since || clock < state->off_since)
        return;
    off = clock - state->off_since;
    waited = task->sched_info.run_delay + now->waits - state->run_delay;
    now->blocked = off > waited ? off - waited : 0;
}

static __always_inline __u64 tell_one(__u64 *to, __u64 *told, __u64 now)
{
    __sync_fetch_and_add(to, now - *told);
    *told = now;
    return now;
}

/*
 * Adds to `to` what a thread had since this was last done. It may switch meanwhile: then a part is told twice, and
 * taken back the next time.
 */
static __noinline int tell(struct task_struct *task, struct vt_sched_task *state, __u64 clock,
                           struct vt_thread_times *to)
{
    struct vt_thread_times *sum = &states_of(state)->sum, *told = &states_of(state)->told;
    struct vt_present now = {};
    __u64 throttled, all, ns;

    present_state(task, state, clock, &now);
    throttled = sum->ns[VT_REASON_THROTTLED] + now.throttled;
    all = tell_one(&to->ns[VT_REASON_NONE], &told->ns[VT_REASON_NONE],
                   task->se.sum_exec_runtime + now.ran);
    all +=
        tell_one(&to->ns[VT_REASON_RUNNABLE], &told->ns[VT_REASON_RUNNABLE],
                 sum->ns[VT_REASON_RUNNABLE] + task->sched_info.run_delay + now.waits - throttled);
    all += tell_one(&to->ns[VT_REASON_THROTTLED], &told->ns[VT_REASON_THROTTLED], throttled);
    for (__u32 i = VT_REASON_THROTTLED + 1; i < VT_REASONS; i++) {
        ns = sum->ns[i];
        if (i == now.reason)
            ns += now.blocked;
        all += tell_one(&to->ns[i], &told->ns[i], ns);
    }
    all += tell_one(&to->stolen, &told->stolen, sum->stolen + now.stolen);
    /* A new thread: rq->clock was too old to note when it was made. */
    if (!told->lived)
        told->lived = clock - all;
    tell_one(&to->lived, &told->lived, clock);
    tell_one(&to->utime, &told->utime, task->utime);
    tell_one(&to->stime, &told->stime, task->stime);
    tell_one(&to->gtime, &told->gtime, task->gtime);
    tell_one(&to->voluntary, &told->voluntary, task->nvcsw);
    return 0;
}

struct vt_thread_times told_nobody; /* of threads that were not asked for */

/* A thread leaves its CPU for the last time, or its owner for another. */
static __noinline int tell_owner(struct task_struct *task, struct vt_sched_task *state, __u32 slot,
                                 __u64 clock)
{
    struct vt_thread_times *to = bpf_map_lookup_elem(&states_ended, &slot);

    return tell(task, state, clock, to ? to : &told_nobody);
}

/*
 * A thread was off its CPU for so long and got one again after a wait, in ns; `measured` if that is true, and not
 * an error in the kernel's account.
 */
static __always_inline void add_blocked(struct vt_sched_task *state, __u64 off, __u64 wait,
                                        bool measured)
{
    struct vt_thread_times *sum = &states_of(state)->sum;
    __u32 reason = task_reason(state);

    if (is_runnable(reason) && measured)
        return;
    if (!measured) {
        sum->ns[VT_REASON_RUNNABLE] -= wait;
        wait = 0;
    }
    asm volatile("" : "+r"(reason)); /* else the verifier does not see that it was tested */
    if (off > wait && reason < VT_REASONS)
        sum->ns[reason] += off - wait;
}

/* The iterator's record: see open_wait. */
struct vt_thread_state thread_state;

/* From now on the time of a thread counts; what it had before vtrace came is in no report. */
static __always_inline void begin_states(struct task_struct *task, struct vt_sched_task *state,
                                         bool is_new)
{
    struct vt_thread_times *told = &states_of(state)->told;

    if (is_new)
        return;
    told->lived = rq_clock_here();
    tell(task, state, told->lived, &thread_state.times);
}

static __always_inline void add_throttled(struct vt_sched_task *state, __u64 ns)
{
    states_of(state)->sum.ns[VT_REASON_THROTTLED] += ns;
}

#endif
