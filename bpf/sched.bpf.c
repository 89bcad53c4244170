/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The scheduler: one program on sched_switch, into which every part that wants the hook is inlined.
 * Parts that are off are constants that the verifier removes.
 *
 * Run-queue wait needs no wakeup hook: the kernel keeps, per task, when it was queued (last_queued) and how
 * long it has waited in all (run_delay). A wait that a migration splits is added to run_delay in
 * pieces; the difference to run_delay after the previous switch-in is the whole of it.
 */
#include "common/blame.bpf.h"
#include "common/cgroup.bpf.h"
#include "common/histogram.bpf.h"
#include "common/kernel.bpf.h"
#include "common/owners.bpf.h"
#include "common/pairs.bpf.h"
#include "common/stacks.bpf.h"
#include "common/states.bpf.h"
#include "common/tasks.bpf.h"
#include "common/throttle.bpf.h"

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} slow_waits SEC(".maps");

/* Creates the state of a task; allocates, so it is for process context only. */
static __always_inline void add_task(struct task_struct *task, __u64 off_since, __u8 reason,
                                     bool is_new)
{
    struct vt_sched_task *state = create_task(task);

    if (!state || (stacks && !add_user_stack(task)))
        COUNT(task_failed);
    if (!state || (state->flags & VT_TASK_BEGUN))
        return;
    /* A switch-in between these reads leaves a gap in pcount, which its next one counts. */
    state->off_since = off_since;
    state->flags = VT_TASK_BEGUN | reason << VT_TASK_REASON_SHIFT;
    state->pcount = task->sched_info.pcount;
    state->run_delay = task->sched_info.run_delay;
    if (states)
        begin_states(task, state, is_new);
}

static __noinline int report_slow(struct task_struct *prev, struct task_struct *next, __u64 wait)
{
    struct vt_sched_cpu *cpu = this_cpu();
    struct vt_slow_wait *event;
    __u64 now = bpf_ktime_get_ns();

    if (!cpu)
        return 0;
    if (cpu->slow_window != now / 1000000000) {
        cpu->slow_window = now / 1000000000;
        cpu->slow_count = 0;
    }
    if (cpu->slow_count++ >= slow_per_second) {
        cpu->rate_limited++;
        return 0;
    }
    event = bpf_ringbuf_reserve(&slow_waits, sizeof(*event), 0);
    if (!event) {
        cpu->ring_dropped++;
        return 0;
    }
    event->end_ns = now;
    event->wait_ns = wait;
    event->cgroup_id = cgroup_id(read_task_cgroup(next));
    event->vm = task_vm(next);
    event->cpu = bpf_get_smp_processor_id();
    event->tid = next->pid;
    event->tgid = next->tgid;
    event->prev_tid = prev->pid;
    event->prev_tgid = prev->tgid;
    event->zero = 0;
    bpf_probe_read_kernel(event->comm, sizeof(event->comm), next->comm);
    bpf_probe_read_kernel(event->prev_comm, sizeof(event->prev_comm), prev->comm);
    /* The reader polls: waking it from here would add a switch for every event. */
    bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
    return 0;
}

/*
 * What of the hook is on, in constants: the compiler leaves out the rest, which makes it a sixth cheaper than where
 * only the verifier knows what is on (it removes branches, not the loads of what they test).
 */
struct vt_on {
    bool given; /* else the verifier's constants say what is on, and where tasks are kept */
    bool waits;
    bool throttling;
    bool blame;
    bool slices;
    bool offcpu;
    bool stacks;
    bool states;
    bool by_cgroup; /* known to be so */
};

#define ON(sw, part) ((sw)->on.given ? (sw)->on.part : part)

/* One context switch. */
struct vt_switch {
    struct vt_on on;
    struct task_struct *prev;
    struct task_struct *next;
    struct vt_sched_task *state; /* of next, NULL if it has none */
    struct rq *rq;
    __u64 clock;
    __u64 clock_task;
    __u64 steal; /* rq_steal() */
    __u64 irq;
    __u64 queued;       /* when the last piece of the wait began */
    __u64 wait;         /* the whole of it, by the kernel's account */
    __u64 throttled;    /* of it, in one piece … */
    __u64 throttled_to; /* … that ended then */
    __u32 charged;      /* charged_slot() of next */
    bool waited;        /* queued and wait are good */
};

static __always_inline bool by_owner(struct vt_switch *sw)
{
    return sw->on.by_cgroup || by_cgroup;
}

static __always_inline bool in_storage(struct vt_switch *sw)
{
    return sw->on.given || use_task_storage;
}

/* What moves have charged of a wait is in the sum already, see moved(). */
static __always_inline void add_wait(struct vt_switch *sw)
{
    struct vt_hist *hist = ON(sw, waits) ? hist_find(sw->charged) : NULL;

    if (!hist)
        return;
    hist_add_rest(hist, sw->wait, ON(sw, throttling) ? sw->state->blamed : 0);
}

/* A wait before this one, whose end was not seen. */
static __always_inline void add_missed_wait(struct vt_switch *sw, __u64 ns)
{
    struct vt_hist *hist = ON(sw, waits) ? hist_find(sw->charged) : NULL;

    if (by_owner(sw) && sw->charged == VT_SLOT_OTHER)
        COUNT(map_full);
    if (hist)
        hist_add(hist, ns);
    if (ON(sw, blame))
        pair_add(sw->charged, VT_CODE_UNKNOWN, ns);
}

/* The run-queue wait that ends with this switch, charged to the task that waited. */
static __always_inline void run_queue_wait(struct vt_switch *sw)
{
    struct vt_sched_task *state = sw->state;
    struct task_struct *next = sw->next;
    __u64 queued = next->sched_info.last_queued;
    __u64 waited, wait, missed = 0;
    __u32 pcount, expected;

    if (!queued) /* the idle task; the kernel, too, counts no wait then */
        return;
    if (!state) {
        COUNT(missed_start);
        return;
    }
    waited = next->sched_info.run_delay + (sw->clock - queued);
    pcount = next->sched_info.pcount;
    wait = waited - state->run_delay;
    expected = state->pcount;
    state->run_delay = waited;
    state->pcount = pcount + 1;
    sw->wait = wait;
    if (state->flags & VT_TASK_STALE) {
        state->flags &= ~VT_TASK_STALE;
        COUNT(clock_anomaly);
        return;
    }
    if (sw->clock < queued || (__s64)wait < 0) {
        COUNT(clock_anomaly);
        return;
    }
    if (expected != pcount) {
        /*
         * Switch-ins were not seen. Of a single one the kernel's totals still tell the wait: what is left
         * when this one is taken off (both are exact unless a migration split this one).
         */
        if (pcount - expected != 1 || wait < sw->clock - queued) {
            COUNT(missed_start);
            return;
        }
        COUNT(recovered);
        missed = wait - (sw->clock - queued);
        wait = sw->clock - queued;
        sw->wait = wait;
    }
    sw->queued = queued;
    sw->waited = true;
    if (sw->charged == VT_SLOT_EXCLUDED)
        return;
    if (!ON(sw, blame))
        add_wait(sw);
    if (expected != pcount)
        add_missed_wait(sw, missed);
    if (slower_ns && wait > slower_ns)
        report_slow(sw->prev, next, wait);
}

/* How much of the wait that ends with this switch the own CPU quota took. */
static __always_inline void throttled_part(struct vt_switch *sw)
{
    if (!sw->waited)
        return;
    sw->throttled = throttled_in_wait(sw->next, sw->state, sw->charged, sw->queued, sw->clock,
                                      &sw->throttled_to);
    if (!sw->throttled || sw->charged == VT_SLOT_EXCLUDED)
        return;
    pair_add(sw->charged, VT_CODE_THROTTLED, sw->throttled);
    if (ON(sw, states))
        add_throttled(sw->state, sw->throttled);
}

/* Of a wait as a whole, if one can be: most lie within the slice that ends now. */
static __always_inline bool blame_whole(struct vt_switch *sw, struct vt_sched_cpu *cpu)
{
    __u32 code = cpu->running == sw->charged ? VT_CODE_SELF : cpu->running;

    return cpu->since && sw->queued >= cpu->since && !sw->throttled && !sw->state->blamed &&
           sw->wait == sw->clock - sw->queued && sw->steal == cpu->steal && sw->irq == cpu->irq &&
           pair_add_fast(sw->charged | (ON(sw, waits) ? VT_SLOT_WHOLE : 0), code, sw->wait);
}

static __always_inline void blame_wait(struct vt_switch *sw, struct vt_sched_cpu *cpu)
{
    struct vt_ask *ask;

    if (!sw->waited || sw->charged == VT_SLOT_EXCLUDED)
        return;
    if (blame_whole(sw, cpu))
        return;
    add_wait(sw);
    ask = find_ask(false);
    if (!ask)
        return;
    ask->from = sw->queued;
    ask->to = sw->clock;
    ask->throttled = sw->throttled;
    ask->throttled_to = sw->throttled_to;
    ask->steal = sw->steal - cpu->steal;
    ask->irq = sw->irq - cpu->irq;
    blame_between(bpf_get_smp_processor_id(), sw->charged, false);
}

/* A task that may be asked for leaves its CPU: what only it can tell. */
static __always_inline void leave(struct vt_switch *sw, struct vt_sched_task *state, bool preempted,
                                  __u64 stolen)
{
    __u8 reason = off_reason(sw->prev, preempted);

    state->flags = (state->flags & ~VT_TASK_REASON) | reason << VT_TASK_REASON_SHIFT;
    if (ON(sw, stacks) && !(blocked_only && is_runnable(reason)))
        take_user_stack(sw->prev);
    if (ON(sw, states) && stolen)
        states_of(state)->sum.stolen += stolen;
    if (ON(sw, states) && reason == VT_REASON_DEAD)
        tell_owner(sw->prev, state, by_owner(sw) ? state->slot : VT_SLOT_OTHER, sw->clock);
}

/* The time off the CPU that ends with this switch. */
static __always_inline void come_back(struct vt_switch *sw)
{
    struct vt_sched_task *state = sw->state;
    __u64 ns;
    __u8 reason;

    if (!state || sw->charged == VT_SLOT_EXCLUDED || !state->off_since)
        return;
    if (sw->clock < state->off_since) { /* clocks of two CPUs */
        COUNT(clock_anomaly);
        return;
    }
    ns = sw->clock - state->off_since;
    if (ON(sw, offcpu))
        pair_add(sw->charged, VT_CODE_OFFCPU, ns);
    if (ON(sw, states))
        add_blocked(state, ns, sw->wait, sw->waited || !sw->wait);
    if (!ON(sw, stacks))
        return;
    reason = task_reason(state);
    if (block_selected(reason, ns))
        add_block(sw->next, sw->charged, reason, sw->next == sw->prev, ns);
}

/* Whose time it is from this switch on. */
static __always_inline __u32 running_now(struct vt_switch *sw)
{
    if (!sw->next->pid) {
        /* Queued, and yet not running: another CPU of the core runs what must not share it. */
        return sw->rq->nr_running ? VT_CODE_FORCED_IDLE : VT_CODE_IDLE;
    }
    if (!sw->state)
        return slot_of_unseen(sw->next);
    return sw->state->slot == VT_SLOT_OTHER ? VT_CODE_UNKNOWN : sw->state->slot;
}

/*
 * ns since prev stopped running: a CPU that has nothing to run looks for work on others first (newidle balance), and
 * its clock goes on meanwhile.
 */
static __always_inline __u64 searched(struct vt_switch *sw, struct vt_sched_cpu *cpu)
{
    __u64 stopped = sw->prev->se.exec_start;

    return stopped > cpu->ran && stopped < sw->clock_task ? sw->clock_task - stopped : 0;
}

/* The slice that ends with this switch. */
static __always_inline void end_slice(struct vt_sched_cpu *cpu, __u64 clock_task)
{
    if (!cpu->since || cpu->charged == VT_SLOT_EXCLUDED)
        return;
    if (clock_task < cpu->ran) {
        COUNT(clock_anomaly);
        return;
    }
    pair_add(cpu->charged, VT_CODE_SLICE, clock_task - cpu->ran);
}

/* Of its owner, as last looked up; VT_SLOT_OTHER if it was not, VT_SLOT_EXCLUDED if it was not asked for. */
static __always_inline __u32 known_slot(struct vt_sched_task *state, bool by_owner)
{
    if (!by_owner || !state->css_set)
        return VT_SLOT_OTHER;
    return state->flags & VT_TASK_OUTSIDE ? VT_SLOT_EXCLUDED : state->slot;
}

static __always_inline void find_charged(struct vt_switch *sw)
{
    struct task_struct *next = sw->next;
    __u32 before;

    if (next->pid &&
        (ON(sw, waits) || ON(sw, throttling) || ON(sw, offcpu) || ON(sw, stacks) || by_owner(sw)))
        sw->state = find_task_in(next, in_storage(sw), ON(sw, states));
    if (!sw->state) {
        if (next->pid && !by_owner(sw) && task_selected(next, next->tgid))
            sw->charged = VT_SLOT_OTHER;
        return;
    }
    before = known_slot(sw->state, by_owner(sw));
    sw->charged = charged_slot(next, sw->state, by_owner(sw));
    /* It was moved to another owner: what it did by now was the former's. */
    if (ON(sw, states) && before != VT_SLOT_OTHER && sw->state->slot != before)
        tell_owner(next, sw->state, before, sw->clock);
}

/* The wait of a task that was not seen as it got its CPU. */
static __always_inline void unseen_wait(struct vt_switch *sw)
{
    struct vt_sched_task *state = sw->state;
    __u32 unseen = sw->next->sched_info.pcount - state->pcount;
    __u64 wait = sw->next->sched_info.run_delay - state->run_delay;

    if (!unseen)
        return;
    state->pcount += unseen;
    state->run_delay += wait;
    if (state->flags & VT_TASK_STALE || unseen != 1 || (__s64)(wait - state->blamed) < 0) {
        state->flags &= ~VT_TASK_STALE;
        COUNT(missed_start);
        return;
    }
    COUNT(recovered);
    sw->wait = wait;
    sw->queued = sw->clock - (wait - state->blamed);
    sw->waited = true;
    if (!ON(sw, blame) && sw->charged != VT_SLOT_EXCLUDED)
        add_wait(sw);
}

/* What follows from a wait that has ended. */
static __always_inline void split_wait(struct vt_switch *sw, struct vt_sched_cpu *cpu)
{
    throttled_part(sw);
    if (ON(sw, blame))
        blame_wait(sw, cpu);
    if (sw->state)
        sw->state->blamed = 0;
}

/*
 * A task leaves that was not seen to come: some kernels hide some tasks from the hook (those of the sandbox that they
 * run in). The switch that was not seen is made up for: the kernel has noted when it was.
 */
static __always_inline void switch_unseen(struct vt_switch *sw, struct vt_sched_cpu *cpu)
{
    struct vt_switch none = {.on = sw->on, .charged = VT_SLOT_EXCLUDED};
    __u64 ran;

    sw->next = sw->prev;
    sw->rq = task_rq(sw->next);
    sw->clock = sw->next->sched_info.last_arrival;
    sw->steal = rq_steal(sw->rq);
    sw->irq = rq_irq(sw->rq);
    find_charged(sw);
    if (cpu->since && sw->clock > cpu->since) {
        /* What was stolen since the switch before is of both slices. */
        ran = cpu->ran + part_of(sw->rq->clock_task - cpu->ran, sw->clock - cpu->since,
                                 sw->rq->clock - cpu->since);
        if (ON(sw, slices))
            end_slice(cpu, ran);
        cpu->ran = ran;
        if (sw->state && (ON(sw, waits) || ON(sw, throttling)))
            unseen_wait(sw);
        if (ON(sw, throttling))
            split_wait(sw, cpu);
        if (ON(sw, states) || ON(sw, offcpu) || ON(sw, stacks))
            come_back(sw);
        if (ON(sw, blame))
            add_to_history(cpu, sw->clock, cpu->steal, cpu->irq, running_now(sw));
        cpu->since = sw->clock;
    }
    cpu->charged = sw->charged;
    *sw = none;
}

static __always_inline void on_switch(struct vt_on on, bool preempt, struct task_struct *prev,
                                      struct task_struct *next)
{
    struct vt_switch sw = {.on = on, .prev = prev, .charged = VT_SLOT_EXCLUDED};
    const bool absences = ON(&sw, offcpu) || ON(&sw, stacks) || ON(&sw, states);
    const bool by_cpu = ON(&sw, blame) || ON(&sw, slices) || absences;
    struct vt_sched_cpu *cpu = NULL;
    struct vt_sched_task *left = NULL; /* of prev */
    __u64 since_left = 0;

    if (by_cpu) {
        cpu = this_cpu();
        if (!cpu)
            return;
        if (cpu->tid != (__u32)prev->pid)
            switch_unseen(&sw, cpu);
    }
    sw.prev = prev;
    sw.next = next;
    sw.rq = task_rq(next);
    sw.clock = sw.rq->clock;
    if (ON(&sw, slices) || absences)
        sw.clock_task = sw.rq->clock_task;
    if (ON(&sw, blame)) {
        sw.steal = rq_steal(sw.rq);
        sw.irq = rq_irq(sw.rq);
    }
    find_charged(&sw);
    if (ON(&sw, waits) || ON(&sw, throttling))
        run_queue_wait(&sw);
    if (ON(&sw, throttling))
        split_wait(&sw, cpu);
    if (ON(&sw, throttling) || absences)
        left = prev->pid ? find_task_in(prev, in_storage(&sw), ON(&sw, states)) : NULL;
    if (ON(&sw, throttling) && left)
        throttle_leave(prev, left, preempt || !task_state(prev), sw.clock);
    if (!by_cpu)
        return;
    if (ON(&sw, slices) || absences)
        since_left = searched(&sw, cpu);
    if (ON(&sw, slices))
        end_slice(cpu, sw.clock_task - since_left);
    if (absences) {
        if (left)
            left->off_since = sw.clock - since_left;
        if ((ON(&sw, stacks) || ON(&sw, states)) && left &&
            !(cpu->since && cpu->charged == VT_SLOT_EXCLUDED))
            leave(&sw, left, preempt,
                  ON(&sw, states) ? stolen_from(cpu, sw.clock, sw.clock_task) : 0);
        come_back(&sw);
    }
    if (ON(&sw, blame))
        add_to_history(cpu, sw.clock, sw.steal, sw.irq, running_now(&sw));
    cpu->charged = sw.charged;
    cpu->since = sw.clock;
    if (ON(&sw, slices) || absences)
        cpu->ran = sw.clock_task;
    cpu->tid = next->pid;
}

/*
 * A program on this hook costs as much by being there as one look at its tasks. So mem_switch of bpf/mem.bpf.c, which
 * has something to do at few switches, is called from here, if it is asked for: it may be of another object, as
 * its cgroups are those of another hierarchy.
 */
const volatile bool stalls_follow = false;

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} after_switch SEC(".maps");

#define ON_SWITCH(name, ...)                                                                       \
    SEC("tp_btf/sched_switch")                                                                     \
    int BPF_PROG(name, bool preempt, struct task_struct *prev, struct task_struct *next)           \
    {                                                                                              \
        on_switch((struct vt_on){__VA_ARGS__}, preempt, prev, next);                               \
        if (stalls_follow && (notes_a_wait(prev) || notes_a_wait(next)))                           \
            bpf_tail_call(ctx, &after_switch, 0);                                                  \
        return 0;                                                                                  \
    }

/* One of these is attached (user/collect/sched_collector.cpp): for anything … */
ON_SWITCH(sched_switch, .given = false)
/* … and, with task storage, for what is asked for most. */
ON_SWITCH(sched_switch_waits, .given = true, .waits = true)
ON_SWITCH(sched_switch_slices, .given = true, .slices = true)
ON_SWITCH(sched_switch_blame, .given = true, .by_cgroup = true, .waits = true, .throttling = true,
          .blame = true)
ON_SWITCH(sched_switch_states, .given = true, .waits = true, .throttling = true, .states = true)
ON_SWITCH(sched_switch_all, .given = true, .by_cgroup = true, .waits = true, .throttling = true,
          .blame = true, .states = true)

/* Not sched_process_fork: that one does not fire for io_uring and vhost workers. */
SEC("tp_btf/task_newtask")
int BPF_PROG(sched_newtask, struct task_struct *task)
{
    add_task(task, 0, VT_REASON_NONE, true);
    return 0;
}

/* Of a process its first thread; the others are told of as they switch, or at the next report. */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(sched_cgroup_move, struct cgroup *to, const char *path, struct task_struct *task)
{
    struct vt_sched_task *state = states ? find_task(task) : NULL;
    __u32 before = state ? known_slot(state, by_cgroup) : VT_SLOT_OTHER;

    __sync_fetch_and_add(&owner_changes, 1);
    if (before == VT_SLOT_OTHER)
        return 0;
    tell_owner(task, state, before, rq_clock_here());
    charged_slot(task, state, by_cgroup); /* else its next switch would take it for a move then */
    return 0;
}

/*
 * Since 6.12 a task that went to sleep may stay queued for a moment. One that is moved to another CPU in
 * that moment gets a last_queued there that nothing takes back: the kernel then counts its sleep as a
 * wait (seconds of it, at times). When its next wait began is not known.
 */
static __always_inline bool is_delayed(struct task_struct *task)
{
    struct sched_entity___since_6_12 *entity = (void *)&task->se;

    return bpf_core_field_exists(entity->sched_delayed) && BPF_CORE_READ(entity, sched_delayed);
}

/* A wait goes on on another CPU: the part on this one is charged now. Its CPU's lock is held. */
static __always_inline void moved(struct task_struct *task, struct vt_sched_task *state)
{
    __u64 piece = BPF_CORE_READ(task, sched_info.run_delay) - state->run_delay - state->blamed;
    struct vt_hist *hist;
    struct vt_ask *ask;
    __u64 throttled;
    struct rq *rq;
    __u32 slot;

    if (!piece || (__s64)piece < 0)
        return;
    state->blamed += piece;
    throttled = throttle_move(task, state);
    slot = charged_slot(task, state, by_cgroup);
    if (slot == VT_SLOT_EXCLUDED)
        return;
    hist = waits ? hist_find(slot) : NULL;
    if (hist)
        hist->sum += piece;
    if (throttled > piece)
        throttled = piece;
    if (throttled) {
        pair_add(slot, VT_CODE_THROTTLED, throttled);
        if (states)
            add_throttled(state, throttled);
    }
    ask = find_ask(false);
    if (!blame || !ask)
        return;
    rq = BPF_CORE_READ(task, se.cfs_rq, rq);
    ask->to = BPF_CORE_READ(rq, clock);
    ask->from = ask->to - piece;
    ask->throttled = throttled;
    ask->throttled_to = ask->from + throttled;
    ask->steal = ask->irq = 0;
    blame_between(BPF_CORE_READ(rq, cpu), slot, false);
}

SEC("tp_btf/sched_migrate_task")
int BPF_PROG(sched_migrate, struct task_struct *task)
{
    bool delayed = is_delayed(task);
    struct vt_sched_task *state;

    if (!delayed && !throttling)
        return 0;
    state = find_task(task);
    if (!state)
        return 0;
    if (delayed)
        state->flags |= VT_TASK_STALE;
    else if (throttling)
        moved(task, state);
    return 0;
}

/* Only with the hash: task storage goes with its task. */
SEC("tp_btf/sched_process_free")
int BPF_PROG(sched_free, struct task_struct *task)
{
    struct vt_sched_task_key key = task_key(task);

    if (states)
        bpf_map_delete_elem(&stated_tasks_hash, &key);
    else
        bpf_map_delete_elem(&sched_tasks_hash, &key);
    if (stacks)
        bpf_map_delete_elem(&user_stacks_hash, &key);
    return 0;
}

/* Read once at start, by vtrace itself. */
SEC("iter/task")
int sched_add_tasks(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;

    if (!task)
        return 0;
    self_tgid = bpf_get_current_pid_tgid() >> 32;
    /* What it is off its CPU for counts from now on. */
    if ((stacks || states) && !on_cpu(task))
        add_task(task, rq_clock_here(), off_reason(task, false), false);
    else
        add_task(task, 0, VT_REASON_NONE, false);
    return 0;
}

/* Of a wait that goes on: who ran by now. That CPU may switch meanwhile: then a part is missing or twice. */
static __always_inline void blame_open(struct task_struct *task, struct rq *rq,
                                       struct vt_sched_task *state, __u64 queued, __u64 clock)
{
    __u64 throttled = throttled_by_now(task, state, clock);
    struct vt_ask *ask = find_ask(true);

    open_wait.slot = state->slot;
    if (throttled > clock - queued)
        throttled = clock - queued;
    if (throttled)
        open_add(VT_CODE_THROTTLED, throttled);
    if (!ask)
        return;
    ask->from = queued;
    ask->to = clock;
    ask->throttled = throttled;
    ask->throttled_to = queued + throttled;
    ask->steal = ask->irq = 0;
    blame_between(BPF_CORE_READ(rq, cpu), state->slot, true);
}

/* Read at each report: who is still waiting, and for how long by now. */
SEC("iter/task")
int sched_open_waits(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;
    struct vt_sched_task *state;
    __u64 queued, clock, now;
    struct cgroup *cgroup;
    struct rq *rq;

    if (!task)
        return 0;
    __builtin_memset(&open_wait, 0, sizeof(open_wait));
    queued = task->sched_info.last_queued;
    /* A mark of being queued may be left over: from a task moved while it fell asleep (sched_migrate). */
    if (!queued || on_cpu(task) || task_state(task))
        return 0;
    state = find_task(task);
    if (!state || state->pcount != task->sched_info.pcount || !task_selected(task, task->tgid))
        return 0;
    if (state->flags & VT_TASK_STALE)
        return 0;
    cgroup = read_task_cgroup(task);
    if (!cgroup_selected(cgroup) || (target_vm && task_vm(task) != target_vm))
        return 0;
    rq = BPF_CORE_READ(task, se.cfs_rq, rq);
    clock = BPF_CORE_READ(rq, clock);
    now = rq_clock_here();
    if (now > clock)
        clock = now;
    if (clock < queued)
        return 0;
    open_wait.wait_ns = task->sched_info.run_delay + (clock - queued) - state->run_delay;
    open_wait.cgroup_id = cgroup_id(cgroup);
    open_wait.vm = task_vm(task);
    open_wait.tid = task->pid;
    open_wait.tgid = task->tgid;
    bpf_probe_read_kernel(open_wait.comm, sizeof(open_wait.comm), task->comm);
    if (blame)
        blame_open(task, rq, state, queued, clock);
    bpf_seq_write(ctx->meta->seq, &open_wait, sizeof(open_wait));
    return 0;
}

/* Read at each report, with stacks: who is off its CPU, for how long by now, and why. */
SEC("iter/task")
int sched_open_blocks(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;
    struct vt_open_block open = {};
    struct vt_sched_task *state;
    __u64 clock, since;
    __u32 slot;
    __u8 reason;

    if (!task || on_cpu(task))
        return 0;
    state = find_task(task);
    if (!state || !state->off_since)
        return 0;
    slot = charged_slot(task, state, by_cgroup);
    if (slot == VT_SLOT_EXCLUDED)
        return 0;
    since = state->off_since;
    reason = task_reason(state);
    clock = rq_clock_here();
    if (clock < since)
        return 0;
    open.ns = clock - since;
    open.tid = task->pid;
    if (reason == VT_REASON_DEAD || !block_selected(reason, open.ns) ||
        !block_key(task, slot, reason, false, 1, &open.key))
        return 0;
    /* It came back meanwhile: then what was read is of two times. */
    if (on_cpu(task) || state->off_since != since)
        return 0;
    bpf_seq_write(ctx->meta->seq, &open, sizeof(open));
    return 0;
}

/* Read at each report, with states: what is new of each thread. */
SEC("iter/task")
int sched_thread_states(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;
    struct vt_sched_task *state;

    if (!task)
        return 0;
    state = find_task(task);
    if (!state)
        return 0;
    thread_state.slot = charged_slot(task, state, by_cgroup);
    /* One that has ended and is there still: its last switch told it. */
    if (task_reason(state) == VT_REASON_DEAD && !on_cpu(task))
        return 0;
    __builtin_memset(&thread_state.times, 0, sizeof(thread_state.times));
    tell(task, state, rq_clock_here(), &thread_state.times);
    if (thread_state.slot == VT_SLOT_EXCLUDED)
        return 0;
    thread_state.tid = task->pid;
    thread_state.tgid = task->tgid;
    bpf_probe_read_kernel(thread_state.comm, sizeof(thread_state.comm), task->comm);
    bpf_seq_write(ctx->meta->seq, &thread_state, sizeof(thread_state));
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
