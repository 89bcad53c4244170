/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which part of a run-queue wait was throttled by a CPU quota. No hook fires when the kernel throttles, but the
 * run queue of each task group (a cfs_rq, one per group and CPU) keeps a meter: how long it was throttled in
 * all, by its own quota or by one above it. A wait is throttled for as long as the meter ran during it.
 *
 * - The wait of a task that left the CPU while it could run begins there: what the meter then showed is
 *   kept with the task. This is exact, however often the group was throttled since.
 * - Since 6.18 the kernel throttles tasks, not queues: one that returns to user space leaves the CPU, once,
 *   and is back in the queue when the throttling ends. One that waits for other reasons waits on.
 * - Until 6.17 a task may wake up into a queue that is throttled. Nobody saw the meter then; it is known when
 *   the last throttling of the queue ended, from whoever of the group first ran after it.
 *   Of several within one such wait the last is counted.
 */
#ifndef VTRACE_COMMON_THROTTLE_BPF_H
#define VTRACE_COMMON_THROTTLE_BPF_H

#include "common/histogram.bpf.h"
#include "common/kernel.bpf.h"
#include "vtrace/sched.h"

#define VT_MAX_RT_PRIO 100 /* of task_struct.prio: below are real-time and deadline tasks */

static __always_inline bool throttles_tasks(void)
{
    struct task_struct___since_6_18 *task = NULL;

    return bpf_core_field_exists(task->throttled);
}

/* The clock of throttled_clock_pelt: it stands still while this CPU serves interrupts. */
static __always_inline __u64 pelt_clock(struct cfs_rq *queue)
{
    return queue->rq->clock_pelt - queue->rq->lost_idle_time;
}

/* ns that the queue was throttled in all, without what still runs. */
static __always_inline __u64 throttle_ended(struct cfs_rq *queue)
{
    struct cfs_rq___since_6_6 *since_6_6 = (void *)queue;

    if (bpf_core_field_exists(since_6_6->throttled_clock_self_time))
        return since_6_6->throttled_clock_self_time;
    return queue->throttled_clock_pelt_time;
}

/* The same with what still runs. */
static __always_inline __u64 throttle_meter(struct cfs_rq *queue, __u64 clock)
{
    struct cfs_rq___since_6_6 *since_6_6 = (void *)queue;
    __u64 ended = throttle_ended(queue);
    __u64 start;

    if (bpf_core_field_exists(since_6_6->throttled_clock_self)) {
        start = since_6_6->throttled_clock_self;
        return start && clock > start ? ended + (clock - start) : ended;
    }
    if (!queue->throttle_count)
        return ended;
    return ended + (pelt_clock(queue) - queue->throttled_clock_pelt);
}

/* To be called when a task leaves the CPU; `runnable` if it does not sleep. */
static __always_inline void throttle_leave(struct task_struct *prev, struct vt_sched_task *state,
                                           bool runnable, __u64 clock)
{
    struct task_struct___since_6_18 *since_6_18 = (void *)prev;
    __u32 flags = state->flags & ~(VT_TASK_METERED | VT_TASK_MOVED | VT_TASK_CPU_MASK);

    if (throttles_tasks())
        runnable = since_6_18->throttled && prev->se.cfs_rq->throttle_count;
    if (runnable) {
        state->throttle = throttle_meter(prev->se.cfs_rq, clock);
        flags |= VT_TASK_METERED | bpf_get_smp_processor_id() << VT_TASK_CPU_SHIFT;
    }
    state->flags = flags;
}

/*
 * ns that a task was throttled since its wait on this CPU began, as far as that was seen. Read by helper: the queue
 * may be another CPU's.
 */
static __always_inline __u64 throttled_by_now(struct task_struct *task, struct vt_sched_task *state,
                                              __u64 clock)
{
    struct cfs_rq *queue = BPF_CORE_READ(task, se.cfs_rq);
    struct cfs_rq___since_6_6 *since_6_6 = (void *)queue;
    __u64 meter, start;

    if (!(state->flags & VT_TASK_METERED) || (state->flags & VT_TASK_MOVED))
        return 0;
    if (bpf_core_field_exists(since_6_6->throttled_clock_self_time)) {
        meter = BPF_CORE_READ(since_6_6, throttled_clock_self_time);
        start = BPF_CORE_READ(since_6_6, throttled_clock_self);
        if (start && clock > start)
            meter += clock - start;
    } else {
        meter = BPF_CORE_READ(queue, throttled_clock_pelt_time);
        if (BPF_CORE_READ(queue, throttle_count)) {
            start = BPF_CORE_READ(queue, throttled_clock_pelt);
            meter += BPF_CORE_READ(queue, rq, clock_pelt) -
                     BPF_CORE_READ(queue, rq, lost_idle_time) - start;
        }
    }
    return (__s64)(meter - state->throttle) < 0 ? 0 : meter - state->throttle;
}

/* To be called before a task that waits is moved to another CPU: what it was throttled on this one. */
static __always_inline __u64 throttle_move(struct task_struct *task, struct vt_sched_task *state)
{
    __u64 throttled = throttled_by_now(task, state, BPF_CORE_READ(task, se.cfs_rq, rq, clock));

    state->flags |= VT_TASK_MOVED;
    return throttled;
}

/*
 * The part of [queued, clock] in the last throttling of the queue that has ended. `last` is what is remembered
 * of it for the task's group on this CPU.
 */
static __always_inline __u64 throttled_since_woken(struct cfs_rq *queue, struct vt_throttled *last,
                                                   __u64 queued, __u64 clock, __u64 *to)
{
    __u64 pelt = queue->throttled_clock_pelt_time;
    __u64 lasted = pelt - last->total;
    __u64 from, age;

    if (last->queue != (__u64)queue) {
        /* Seen for the first time: when the last one was is not known. */
        last->queue = (__u64)queue;
        last->total = pelt;
        last->to = 0;
    } else if (lasted) {
        /* Who runs first after a throttling remembers it for the others. */
        age = pelt_clock(queue) - queue->throttled_clock_pelt;
        if (lasted > age) /* more than one, while none of the group ran here */
            lasted = age;
        last->total = pelt;
        last->from = clock - age;
        last->to = clock - age + lasted;
    }
    from = last->from > queued ? last->from : queued;
    *to = last->to;
    return last->to > from && last->to <= clock ? last->to - from : 0;
}

/*
 * The throttled part of the wait of `next` that ends now, in ns, and in *to when it ended (rq clock). It lies in
 * one piece before that, except when the group was throttled several times within the wait. `slot` is its owner's.
 * Of a wait that a move split it is the part on this CPU.
 */
static __always_inline __u64 throttled_in_wait(struct task_struct *next,
                                               struct vt_sched_task *state, __u32 slot,
                                               __u64 queued, __u64 clock, __u64 *to)
{
    struct cfs_rq *queue = next->se.cfs_rq;
    __u64 ended = throttle_ended(queue);
    __u32 flags = state->flags;
    __u64 here = 0, end = 0;
    __u64 part = clock - queued;
    struct vt_hist *hist;

    *to = clock;
    if (!ended)
        return 0;
    if (next->prio < VT_MAX_RT_PRIO)
        return 0;
    if (!throttles_tasks() && slot != VT_SLOT_OTHER) {
        hist = hist_find(slot);
        if (hist)
            here = throttled_since_woken(queue, &hist->throttled, queued, clock, &end);
    }
    if ((flags & VT_TASK_METERED) && !(flags & VT_TASK_MOVED) &&
        flags >> VT_TASK_CPU_SHIFT == bpf_get_smp_processor_id()) {
        here = ended - state->throttle;
        if ((__s64)here < 0) /* of another queue: it was moved to another group */
            here = 0;
    }
    if (here > part)
        here = part;
    *to = end > queued && end <= clock ? end : queued + here;
    return here;
}

#endif
