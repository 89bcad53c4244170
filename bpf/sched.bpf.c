/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The scheduler: one program on sched_switch, into which every part that wants the hook is inlined.
 * Parts that are off are constants that the verifier removes.
 *
 * Run-queue wait needs no wakeup hook: the kernel keeps, per task, when it was queued (last_queued) and how
 * long it has waited in all (run_delay). A wait that a migration splits is added to run_delay in
 * pieces; the difference to run_delay after the previous switch-in is the whole of it.
 */
#include "common/cgroup.bpf.h"
#include "common/comm_glob.bpf.h"
#include "common/histogram.bpf.h"
#include "common/kernel.bpf.h"
#include "common/throttle.bpf.h"
#include "common/vm.bpf.h"
#include "vtrace/sched.h"

/* The parts of the hook on sched_switch. */
const volatile bool waits = false;      /* histograms of waits for a CPU */
const volatile bool throttling = false; /* and of their throttled parts */
const volatile bool blame = false;      /* who ran meanwhile */
const volatile bool slices = false;     /* histograms of time on a CPU */
const volatile bool offcpu = false;     /* histograms of time off it */

const volatile bool use_task_storage = true;
const volatile bool by_cgroup = false;
const volatile bool by_vm =
    false; /* with by_cgroup: VMs apart from what else is in their cgroups */
const volatile __u64 target_vm = 0; /* 0 is every VM, and what is in none */
const volatile bool include_self = false;
const volatile int target_tgid = 0; /* 0 is every process */
const volatile __u64 slower_ns = 0; /* 0 reports no single waits */
const volatile __u32 slow_per_second = 1000;

const volatile __u32 neighbour_pairs =
    0; /* how many (victim, neighbour) get a histogram of their own */

int self_tgid = 0; /* in the initial PID namespace, whatever namespace vtrace runs in */
__u32 neighbour_pairs_taken = 0;
__u32 pair_changes = 1; /* counts the pairs given back */

#define VT_EEXIST 17 /* errno.h is for user space */

extern __u64 owner_changes; /* bpf/kvm.bpf.c */
extern struct vt_vms vms SEC(".maps");

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

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_sched_cpu);
} sched_cpus SEC(".maps");

/* By CPU, only with blame. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_history);
} sched_history SEC(".maps");

/* By CPU, only where pairs are. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_pairs);
} sched_pairs SEC(".maps");

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

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} slow_waits SEC(".maps");

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

static __always_inline struct vt_sched_task *find_task(struct task_struct *task)
{
    struct vt_sched_task_key key;

    if (use_task_storage)
        return bpf_task_storage_get(&sched_tasks, task, NULL, 0);
    key = task_key(task);
    return bpf_map_lookup_elem(&sched_tasks_hash, &key);
}

#include "common/stacks.bpf.h"

/* Creates the state of a task; allocates, so it is for process context only. */
static __always_inline void add_task(struct task_struct *task, __u64 off_since, __u8 reason)
{
    struct vt_sched_task state = {.off_since = off_since};
    bool failed;
    long error;

    /* A switch-in between these two reads leaves a gap in pcount, which its next one counts. */
    state.pcount = task->sched_info.pcount;
    state.run_delay = task->sched_info.run_delay;
    state.flags = reason << VT_TASK_REASON_SHIFT;
    if (use_task_storage) {
        failed = !bpf_task_storage_get(&sched_tasks, task, &state, BPF_LOCAL_STORAGE_GET_F_CREATE);
    } else {
        struct vt_sched_task_key key = task_key(task);

        error = bpf_map_update_elem(&sched_tasks_hash, &key, &state, BPF_NOEXIST);
        failed = error && error != -VT_EEXIST;
    }
    if (stacks && !add_user_stack(task))
        failed = true;
    if (failed)
        COUNT(task_failed);
}

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

/* True if the task is one that was asked for; its cgroup and VM are tested with its slot. */
static __always_inline bool task_selected(struct task_struct *task)
{
    if (!include_self && task->tgid == self_tgid)
        return false;
    if (target_tgid && task->tgid != target_tgid)
        return false;
    if (comm_filter && !comm_matches(task))
        return false;
    return true;
}

/* A thread of the kernel's own that serves no VM and was put into no cgroup. */
static __always_inline bool is_kernels_own(struct task_struct *task, struct cgroup *cgroup,
                                           __u64 vm)
{
    return (task->flags & PF_KTHREAD) && !vm && !BPF_CORE_READ(cgroup, self.parent);
}

/* Its name up to a slash (kworker/0:1 is kworker) as an owner. */
static __always_inline void kthread_owner(struct task_struct *task, struct vt_owner *owner)
{
    union {
        char name[VT_COMM_LEN];
        struct vt_owner owner;
    } by = {};
    bool cut = false;

    bpf_probe_read_kernel(by.name, sizeof(by.name), task->comm);
#pragma clang loop unroll(full)
    for (int i = 0; i < VT_COMM_LEN; i++) {
        cut = cut || by.name[i] == '/' || !by.name[i];
        if (cut)
            by.name[i] = 0;
    }
    *owner = by.owner;
    owner->vm = (owner->vm & ((1ULL << VT_OWNER_KIND_SHIFT) - 1)) | (__u64)VT_OWNER_KTHREAD
                                                                        << VT_OWNER_KIND_SHIFT;
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

/* The slot that a task's figures go to, VT_SLOT_EXCLUDED if it was not asked for. */
static __always_inline __u32 charged_slot(struct task_struct *task, struct vt_sched_task *state)
{
    __u32 slot = by_cgroup ? task_slot(task, state) : VT_SLOT_OTHER;

    if ((by_cgroup && (state->flags & VT_TASK_OUTSIDE)) || !task_selected(task))
        return VT_SLOT_EXCLUDED;
    return slot;
}

static __always_inline __u32 find_pair(__u32 slot, __u32 code)
{
    __u64 kind = (__u64)VT_OWNER_PAIR << VT_OWNER_KIND_SHIFT;
    struct vt_owner owner = {.cgroup_id = (__u64)slot << 32 | code, .vm = kind};

    if (code < VT_CODE_FIRST && !bpf_map_lookup_elem(&owner_slots, &owner)) {
        if (neighbour_pairs_taken >= neighbour_pairs)
            owner.cgroup_id = (__u64)slot << 32 | VT_CODE_NEIGHBOURS;
        else
            __sync_fetch_and_add(&neighbour_pairs_taken, 1);
    }
    return find_slot(owner.cgroup_id, kind);
}

/* Adds a time to the histogram of an owner about something. */
__noinline int pair_add(__u32 slot, __u32 code, __u64 ns)
{
    __u32 cpu = bpf_get_smp_processor_id();
    struct vt_pairs *pairs = bpf_map_lookup_elem(&sched_pairs, &cpu);
    __u32 changes = pair_changes;
    struct vt_pair *pair;
    struct vt_hist *hist;

    if (!pairs)
        return 0;
    pair = &pairs->known[(slot * 31 + code) % VT_PAIR_CACHE];
    if (pair->slot != slot || pair->code != code || pair->changes != changes) {
        __u32 found = find_pair(slot, code);

        if (found == VT_SLOT_OTHER) {
            COUNT(map_full);
            return 0;
        }
        pair->slot = slot;
        pair->code = code;
        pair->changes = changes;
        pair->pair = found;
    }
    hist = hist_find(pair->pair);
    if (hist)
        hist_add(hist, ns);
    return 0;
}

static __always_inline bool sleeps(struct task_struct *task)
{
    struct task_struct___since_5_14 *since_5_14 = (void *)task;
    struct task_struct___until_5_13 *until_5_13 = (void *)task;

    if (bpf_core_field_exists(since_5_14->__state))
        return BPF_CORE_READ(since_5_14, __state) != 0;
    return BPF_CORE_READ(until_5_13, state) != 0;
}

/* One context switch. */
struct vt_switch {
    struct task_struct *prev;
    struct task_struct *next;
    struct vt_sched_task *state; /* of next, NULL if it has none */
    struct rq *rq;
    __u64 clock;
    __u64 queued;       /* when the last piece of the wait began */
    __u64 wait;         /* the whole of it */
    __u64 throttled;    /* of it, in one piece … */
    __u64 throttled_to; /* … that ended then */
    __u32 charged;      /* charged_slot() of next */
    bool waited;        /* queued and wait are good */
};

/* The run-queue wait that ends with this switch, charged to the task that waited. */
static __always_inline void run_queue_wait(struct vt_switch *sw)
{
    struct vt_sched_task *state = sw->state;
    struct task_struct *next = sw->next;
    __u64 queued = next->sched_info.last_queued;
    __u64 waited, wait, missed = 0;
    __u32 pcount, expected;
    struct vt_hist *hist;

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
    }
    sw->queued = queued;
    sw->wait = wait;
    sw->waited = true;
    if (sw->charged == VT_SLOT_EXCLUDED)
        return;
    hist = waits ? hist_find(sw->charged) : NULL;
    if (hist) {
        hist_add(hist, wait);
        if (expected != pcount) {
            hist_add(hist, missed);
            if (by_cgroup && sw->charged == VT_SLOT_OTHER)
                COUNT(map_full);
        }
    }
    if (slower_ns && wait > slower_ns)
        report_slow(sw->prev, next, wait);
}

/*
 * The iterator's record. Not on its stack: the verifier would tell apart every state that it can be in.
 * vtrace runs one iterator at a time.
 */
struct vt_open_wait open_wait;

/* Who ran for how long during a wait, into that record. */
static __always_inline void open_add(__u32 code, __u64 ns)
{
#pragma clang loop unroll(full)
    for (int i = 0; i < VT_OPEN_PARTS; i++) {
        if (!open_wait.ns[i])
            open_wait.code[i] = code;
        if (open_wait.code[i] == code) {
            open_wait.ns[i] += ns;
            return;
        }
    }
}

/* Not inlined, and with everything that does not change in vt_ask: else the verifier takes half a second. */
__noinline int blame_add(__u32 slot, __u32 code, __u64 ns, bool open)
{
    if (!ns)
        return 0;
    if (code == slot)
        code = VT_CODE_SELF;
    if (open)
        open_add(code, ns);
    else
        pair_add(slot, code, ns);
    return 0;
}

static __always_inline struct vt_ask *find_ask(bool open)
{
    __u32 cpu = bpf_get_smp_processor_id();
    struct vt_pairs *pairs = bpf_map_lookup_elem(&sched_pairs, &cpu);

    if (!pairs)
        return NULL;
    return open ? &pairs->open : &pairs->ask;
}

/* ns of a slice that were taken off it, of those that fall into a part of it. */
static __always_inline __u64 part_of(__u64 ns, __u64 part, __u64 whole)
{
    if (part == whole || !ns)
        return ns;
    return whole ? ns * part / whole : 0; /* u32 of ns, and parts of seconds: no overflow */
}

static __always_inline __u64 overlap(__u64 from, __u64 to, __u64 other_from, __u64 other_to)
{
    if (other_from > from)
        from = other_from;
    if (other_to < to)
        to = other_to;
    return to > from ? to - from : 0;
}

/* A slice, as far as it lies in the wait. */
__noinline int blame_slice(__u32 slot, __u32 code, __u64 start, __u64 end, bool open)
{
    struct vt_ask *ask = find_ask(open);
    __u64 whole = end - start, ns = whole, steal, irq;

    if (!ask)
        return 0;
    if (start < ask->from) {
        start = ask->from;
        ns = end - start;
    }
    if (ask->throttled)
        ns -= overlap(start, end, ask->throttled_to - ask->throttled, ask->throttled_to);
    if (ask->steal | ask->irq) {
        steal = part_of(ask->steal, ns, whole);
        if (steal > ns)
            steal = ns;
        ns -= steal;
        blame_add(slot, VT_CODE_STEAL, steal, open);
        irq = part_of(ask->irq, ns, whole);
        if (irq > ns)
            irq = ns;
        ns -= irq;
        blame_add(slot, VT_CODE_IRQ, irq, open);
    }
    blame_add(slot, code, ns, open);
    return 0;
}

/* A block, as far as it lies in the wait. Its owners share its time evenly. */
__noinline int blame_block(__u32 number, __u32 slot, __u64 index, __u64 end, bool open)
{
    struct vt_history *history = bpf_map_lookup_elem(&sched_history, &number);
    struct vt_ask *ask = find_ask(open);
    struct vt_block *block;
    __u64 part;

    if (!history || !ask)
        return 0;
    block = &history->blocks[index % VT_BLOCKS];
    part = overlap(block->start, end, ask->from, ask->to);
    if (!part)
        return 0;
    for (int i = 0; i < VT_BLOCK_OWNERS; i++) {
        if (!block->ns[i])
            break;
        blame_add(slot, block->running[i], block->ns[i] * part / (end - block->start), open);
    }
    return 0;
}

/* What is older than the slices that are remembered, in coarse steps. */
__noinline int blame_blocks(__u32 number, __u32 slot, __u64 from, bool open)
{
    struct vt_history *history = bpf_map_lookup_elem(&sched_history, &number);
    __u64 end, start, last;

    if (!history)
        return 0;
    end = history->until;
    last = history->block;
    for (int i = 0; i < VT_BLOCKS; i++) {
        start = history->blocks[(last - i) % VT_BLOCKS].start;
        if (!start || start > end || end <= from)
            break;
        blame_block(number, slot, last - i, end, open);
        end = start;
    }
    return 0;
}

/*
 * Charges a wait on a CPU, from ask->from to ask->to, to who ran there meanwhile, the latest first. What is
 * older than the history stays unknown: it is not charged. Called with that CPU's lock held, but for the iterator.
 */
__noinline int blame_between(__u32 number, __u32 slot, bool open)
{
    struct vt_history *history = bpf_map_lookup_elem(&sched_history, &number);
    struct vt_sched_cpu *cpu = bpf_map_lookup_elem(&sched_cpus, &number);
    struct vt_ask *ask = find_ask(open);
    __u64 start, end, from, head;
    struct vt_slice *slice;
    __u32 code;

    if (!history || !cpu || !ask)
        return 0;
    from = ask->from;
    end = ask->to;
    start = cpu->since;
    code = cpu->running;
    head = history->head;
    for (int i = 0; i <= VT_HISTORY; i++) {
        if (!start || end <= from || start > end)
            return 0;
        blame_slice(slot, code, start, end, open);
        if (i == VT_HISTORY || (__u64)i >= head)
            break;
        slice = &history->slices[(head - 1 - i) % VT_HISTORY];
        end = start;
        start = slice->start;
        code = slice->running;
        ask->steal = slice->steal;
        ask->irq = slice->irq;
    }
    if (start <= from)
        return 0;
    ask->to = start;
    if (ask->throttled_to > from) /* it was first */
        ask->from = ask->throttled_to;
    return blame_blocks(number, slot, from, open);
}

/* What the clock of a CPU was not a task's, since boot; 0 where the kernel does not count it. */
static __always_inline __u64 rq_steal(struct rq *rq)
{
    struct rq___with_steal *with = (void *)rq;

    return bpf_core_field_exists(with->prev_steal_time_rq) ? with->prev_steal_time_rq : 0;
}

static __always_inline __u64 rq_irq(struct rq *rq)
{
    struct rq___with_irq *with = (void *)rq;

    return bpf_core_field_exists(with->prev_irq_time) ? with->prev_irq_time : 0;
}

static __always_inline __u32 at_most_u32(__u64 ns)
{
    return ns > 0xffffffffU ? 0xffffffffU : ns;
}

/* How much of the wait that ends with this switch the own CPU quota took. */
static __always_inline void throttled_part(struct vt_switch *sw)
{
    if (!sw->waited)
        return;
    sw->throttled = throttled_in_wait(sw->next, sw->state, sw->charged, sw->queued, sw->clock,
                                      &sw->throttled_to);
    if (sw->throttled && sw->charged != VT_SLOT_EXCLUDED)
        pair_add(sw->charged, VT_CODE_THROTTLED, sw->throttled);
}

static __always_inline void blame_wait(struct vt_switch *sw, struct vt_sched_cpu *cpu)
{
    struct vt_ask *ask;

    if (!sw->waited || sw->charged == VT_SLOT_EXCLUDED)
        return;
    ask = find_ask(false);
    if (!ask)
        return;
    ask->from = sw->queued;
    ask->to = sw->clock;
    ask->throttled = sw->throttled;
    ask->throttled_to = sw->throttled_to;
    ask->steal = rq_steal(sw->rq) - cpu->steal;
    ask->irq = rq_irq(sw->rq) - cpu->irq;
    blame_between(bpf_get_smp_processor_id(), sw->charged, false);
}

/* The same as a part of the present block. */
static __always_inline void add_to_block(struct vt_history *history, __u32 running, __u64 since,
                                         __u64 clock)
{
    struct vt_block *block = &history->blocks[history->block % VT_BLOCKS];

    if (!block->start)
        block->start = since;
#pragma clang loop unroll(full)
    for (int i = 0; i < VT_BLOCK_OWNERS; i++) {
        if (!block->ns[i])
            block->running[i] = running;
        if (block->running[i] == running) {
            block->ns[i] = at_most_u32(block->ns[i] + (clock - since));
            break;
        }
    }
    history->until = clock;
    if (clock - block->start < VT_BLOCK_NS)
        return;
    history->block++;
    block = &history->blocks[history->block % VT_BLOCKS];
    block->start = clock;
    __builtin_memset(block->ns, 0, sizeof(block->ns));
}

/* The slice that ends with this switch becomes history; `running` has the CPU from now on. */
__noinline int add_to_history(__u64 clock, __u64 steal_now, __u64 irq_now, __u32 running)
{
    __u32 number = bpf_get_smp_processor_id();
    struct vt_history *history = bpf_map_lookup_elem(&sched_history, &number);
    struct vt_sched_cpu *cpu = bpf_map_lookup_elem(&sched_cpus, &number);
    struct vt_slice *slice;
    __u64 steal, irq;
    __u32 ran;

    if (!history || !cpu)
        return 0;
    steal = steal_now - cpu->steal;
    irq = irq_now - cpu->irq;
    cpu->steal = steal_now;
    cpu->irq = irq_now;
    ran = cpu->running;
    cpu->running = running;
    if (!cpu->since)
        return 0;
    add_to_block(history, ran, cpu->since, clock);
    slice = &history->slices[(history->head - 1) % VT_HISTORY];
    if (history->head && slice->running == ran) {
        slice->steal = at_most_u32(slice->steal + steal);
        slice->irq = at_most_u32(slice->irq + irq);
        return 0;
    }
    slice = &history->slices[history->head % VT_HISTORY];
    slice->start = cpu->since;
    slice->running = ran;
    slice->steal = at_most_u32(steal);
    slice->irq = at_most_u32(irq);
    history->head++;
    return 0;
}

/* Of a task without a state: one that the iterator does not show, or that there was no memory for. */
static __noinline __u32 slot_of_unseen(struct task_struct *task)
{
    struct vt_sched_task state = {};
    __u32 slot = look_up_slot(task, &state);

    return slot == VT_SLOT_OTHER ? VT_CODE_UNKNOWN : slot;
}

/* A task that may be asked for leaves its CPU: what only it can tell. */
static __always_inline void leave(struct task_struct *task, struct vt_sched_task *state,
                                  bool preempted)
{
    __u8 reason = off_reason(task, preempted);

    state->flags = (state->flags & ~VT_TASK_REASON) | reason << VT_TASK_REASON_SHIFT;
    if (!(blocked_only && is_runnable(reason)))
        take_user_stack(task);
}

static __always_inline __u8 task_reason(struct vt_sched_task *state)
{
    return (state->flags & VT_TASK_REASON) >> VT_TASK_REASON_SHIFT;
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
    reason = task_reason(state);
    if (block_selected(reason, ns))
        add_block(sw->next, sw->charged, reason, ns);
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

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
    struct vt_switch sw = {.prev = prev, .next = next, .charged = VT_SLOT_EXCLUDED};
    struct vt_sched_cpu *cpu = NULL;
    struct vt_sched_task *left = NULL; /* of prev */

    sw.rq = task_rq(next);
    sw.clock = sw.rq->clock;
    if (next->pid && (waits || throttling || offcpu || stacks || by_cgroup))
        sw.state = find_task(next);
    if (sw.state)
        sw.charged = charged_slot(next, sw.state);
    else if (next->pid && !by_cgroup && task_selected(next))
        sw.charged = VT_SLOT_OTHER;
    if (waits || throttling)
        run_queue_wait(&sw);
    if (throttling || offcpu || stacks)
        left = prev->pid ? find_task(prev) : NULL;
    if (throttling) {
        throttled_part(&sw);
        if (sw.state)
            sw.state->blamed = 0;
        if (left)
            throttle_leave(prev, left, preempt || !sleeps(prev), sw.clock);
    }
    if (!blame && !slices && !offcpu && !stacks)
        return 0;
    cpu = this_cpu();
    if (!cpu)
        return 0;
    if (slices && cpu->since && cpu->charged != VT_SLOT_EXCLUDED)
        pair_add(cpu->charged, VT_CODE_SLICE, sw.clock - cpu->since);
    if (offcpu || stacks) {
        if (left)
            left->off_since = sw.clock;
        if (stacks && left && !(cpu->since && cpu->charged == VT_SLOT_EXCLUDED))
            leave(prev, left, preempt);
        if (stacks)
            come_back(&sw);
        if (offcpu && sw.state && sw.state->off_since && sw.charged != VT_SLOT_EXCLUDED)
            pair_add(sw.charged, VT_CODE_OFFCPU, sw.clock - sw.state->off_since);
    }
    if (blame) {
        blame_wait(&sw, cpu);
        add_to_history(sw.clock, rq_steal(sw.rq), rq_irq(sw.rq), running_now(&sw));
    }
    cpu->charged = sw.charged;
    cpu->since = sw.clock;
    return 0;
}

/* Not sched_process_fork: that one does not fire for io_uring and vhost workers. */
SEC("tp_btf/task_newtask")
int BPF_PROG(sched_newtask, struct task_struct *task)
{
    add_task(task, 0, VT_REASON_NONE);
    return 0;
}

SEC("raw_tp/cgroup_attach_task")
int BPF_PROG(sched_cgroup_move)
{
    __sync_fetch_and_add(&owner_changes, 1);
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
static __always_inline void blame_moved(struct task_struct *task, struct vt_sched_task *state)
{
    __u64 piece = BPF_CORE_READ(task, sched_info.run_delay) - state->run_delay - state->blamed;
    struct vt_ask *ask;
    __u64 throttled;
    struct rq *rq;
    __u32 slot;

    if (!piece || (__s64)piece < 0)
        return;
    state->blamed += piece;
    throttled = throttle_move(task, state);
    slot = charged_slot(task, state);
    if (slot == VT_SLOT_EXCLUDED)
        return;
    if (throttled > piece)
        throttled = piece;
    if (throttled)
        pair_add(slot, VT_CODE_THROTTLED, throttled);
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
        blame_moved(task, state);
    return 0;
}

/* Only with the hash: task storage goes with its task. */
SEC("tp_btf/sched_process_free")
int BPF_PROG(sched_free, struct task_struct *task)
{
    struct vt_sched_task_key key = task_key(task);

    bpf_map_delete_elem(&sched_tasks_hash, &key);
    if (stacks)
        bpf_map_delete_elem(&user_stacks_hash, &key);
    return 0;
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

/* Read once at start, by vtrace itself. */
SEC("iter/task")
int sched_add_tasks(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;

    if (!task)
        return 0;
    self_tgid = bpf_get_current_pid_tgid() >> 32;
    /* What it is off its CPU for counts from now on. */
    if (stacks && !on_cpu(task))
        add_task(task, rq_clock_here(), off_reason(task, false));
    else
        add_task(task, 0, VT_REASON_NONE);
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
    if (!queued || on_cpu(task) || sleeps(task))
        return 0;
    state = find_task(task);
    if (!state || state->pcount != task->sched_info.pcount || !task_selected(task))
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
    slot = charged_slot(task, state);
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
        !block_key(task, slot, reason, 1, &open.key))
        return 0;
    /* It came back meanwhile: then what was read is of two times. */
    if (on_cpu(task) || state->off_since != since)
        return 0;
    bpf_seq_write(ctx->meta->seq, &open, sizeof(open));
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
