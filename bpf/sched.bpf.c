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
#include "common/vm.bpf.h"
#include "vtrace/sched.h"

const volatile bool use_task_storage = true;
const volatile bool by_cgroup = false;
const volatile bool by_vm =
    false; /* with by_cgroup: VMs apart from what else is in their cgroups */
const volatile __u64 target_vm = 0; /* 0 is every VM, and what is in none */
const volatile bool include_self = false;
const volatile int target_tgid = 0; /* 0 is every process */
const volatile __u64 slower_ns = 0; /* 0 reports no single waits */
const volatile __u32 slow_per_second = 1000;

int self_tgid = 0; /* in the initial PID namespace, whatever namespace vtrace runs in */

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

/* Owner to slot; the reverse is slot_owner. */
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

static __always_inline __u64 rq_clock(struct task_struct *task)
{
    return task->se.cfs_rq->rq->clock;
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

/* Creates the state of a task; allocates, so it is for process context only. */
static __always_inline void add_task(struct task_struct *task)
{
    struct vt_sched_task state = {};
    bool failed;
    long error;

    /* A switch-in between these two reads leaves a gap in pcount, which its next one counts. */
    state.pcount = task->sched_info.pcount;
    state.run_delay = task->sched_info.run_delay;
    if (task->tgid == self_tgid)
        state.flags = VT_TASK_SELF;
    if (use_task_storage) {
        failed = !bpf_task_storage_get(&sched_tasks, task, &state, BPF_LOCAL_STORAGE_GET_F_CREATE);
    } else {
        struct vt_sched_task_key key = task_key(task);

        error = bpf_map_update_elem(&sched_tasks_hash, &key, &state, BPF_NOEXIST);
        failed = error && error != -VT_EEXIST;
    }
    if (failed)
        COUNT(task_failed);
}

/* The slot of an owner, taken when its first task ends a wait. Maps are preallocated: safe here. */
static __noinline __u32 find_slot(struct cgroup *cgroup, __u64 id, __u64 vm)
{
    struct vt_owner owner = {.cgroup_id = id, .vm = vm};
    __u32 slot, *known;

    if (!cgroup_selected(cgroup) || (target_vm && vm != target_vm))
        return VT_SLOT_EXCLUDED;
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

/* True if the task is one that was asked for; its cgroup is tested with its slot. */
static __always_inline bool task_selected(struct task_struct *task, struct vt_sched_task *state)
{
    if (!include_self && (state->flags & VT_TASK_SELF))
        return false;
    if (target_tgid && task->tgid != target_tgid)
        return false;
    if (comm_filter && !comm_matches(task))
        return false;
    return true;
}

/*
 * The slot of a task's owner, remembered for as long as the task has the same css_set: the way from there to
 * the id touches four more cache lines, most of them cold with thousands of cgroups.
 */
static __always_inline __u32 task_slot(struct task_struct *task, struct vt_sched_task *state)
{
    __u64 css_set = (__u64)task->cgroups;
    __u64 changes = owner_changes;
    struct cgroup *cgroup;
    __u64 id, vm;

    if (state->css_set == css_set && state->changes == changes)
        return state->slot;
    cgroup = read_task_cgroup(task);
    id = cgroup_id(cgroup);
    vm = task_vm(task);
    if (state->cgroup_id != id || state->vm != vm) {
        state->slot = find_slot(cgroup, id, vm);
        /* An overflow is looked up anew each time: a slot may be free by then. */
        if (state->slot == VT_SLOT_OTHER) {
            COUNT(map_full);
            state->css_set = 0;
            state->cgroup_id = 0;
            return VT_SLOT_OTHER;
        }
        state->cgroup_id = id;
        state->vm = vm;
    }
    state->css_set = css_set;
    state->changes = changes;
    return state->slot;
}

/* The run-queue wait that ends with this switch, charged to the task that waited. */
static __always_inline void run_queue_wait(struct task_struct *prev, struct task_struct *next)
{
    __u64 queued = next->sched_info.last_queued;
    __u64 clock, waited, wait, pcount, expected, missed = 0;
    struct vt_sched_task *state;
    struct vt_hist *hist;
    __u32 slot = VT_SLOT_OTHER;

    if (!queued) /* the idle task; the kernel, too, counts no wait then */
        return;
    state = find_task(next);
    if (!state) {
        COUNT(missed_start);
        return;
    }
    clock = rq_clock(next);
    waited = next->sched_info.run_delay + (clock - queued);
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
    if (clock < queued || (__s64)wait < 0) {
        COUNT(clock_anomaly);
        return;
    }
    if (expected != pcount) {
        /*
         * Switch-ins were not seen. Of a single one the kernel's totals still tell the wait: what is left
         * when this one is taken off (both are exact unless a migration split this one).
         */
        if (pcount - expected != 1 || wait < clock - queued) {
            COUNT(missed_start);
            return;
        }
        COUNT(recovered);
        missed = wait - (clock - queued);
        wait = clock - queued;
    }
    if (!task_selected(next, state))
        return;
    if (by_cgroup) {
        slot = task_slot(next, state);
        if (slot == VT_SLOT_EXCLUDED)
            return;
    }
    hist = hist_find(slot);
    if (hist) {
        hist_add(hist, wait);
        if (expected != pcount) {
            hist_add(hist, missed);
            if (by_cgroup && slot == VT_SLOT_OTHER)
                COUNT(map_full);
        }
    }
    if (slower_ns && wait > slower_ns)
        report_slow(prev, next, wait);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
    run_queue_wait(prev, next);
    return 0;
}

/* Not sched_process_fork: that one does not fire for io_uring and vhost workers. */
SEC("tp_btf/task_newtask")
int BPF_PROG(sched_newtask, struct task_struct *task)
{
    add_task(task);
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
SEC("tp_btf/sched_migrate_task")
int BPF_PROG(sched_migrate, struct task_struct *task)
{
    struct sched_entity___since_6_12 *entity = (void *)&task->se;
    struct vt_sched_task *state;

    if (!bpf_core_field_exists(entity->sched_delayed) || !BPF_CORE_READ(entity, sched_delayed))
        return 0;
    state = find_task(task);
    if (state)
        state->flags |= VT_TASK_STALE;
    return 0;
}

/* Only with the hash: task storage goes with its task. */
SEC("tp_btf/sched_process_free")
int BPF_PROG(sched_free, struct task_struct *task)
{
    struct vt_sched_task_key key = task_key(task);

    bpf_map_delete_elem(&sched_tasks_hash, &key);
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
    add_task(task);
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

static __always_inline bool on_cpu(struct task_struct *task)
{
    struct task_struct___since_7_2 *since_7_2 = (void *)task;
    struct task_struct___until_7_1 *until_7_1 = (void *)task;

    if (bpf_core_field_size(since_7_2->on_cpu) == sizeof(since_7_2->on_cpu))
        return BPF_CORE_READ(since_7_2, on_cpu);
    return BPF_CORE_READ(until_7_1, on_cpu);
}

/* Read at each report: who is still waiting, and for how long by now. */
SEC("iter/task")
int sched_open_waits(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task, *current;
    struct vt_open_wait open = {};
    struct vt_sched_task *state;
    __u64 queued, clock, now;
    struct cgroup *cgroup;

    if (!task)
        return 0;
    queued = task->sched_info.last_queued;
    /* A mark of being queued may be left over: from a task moved while it fell asleep (sched_migrate). */
    if (!queued || on_cpu(task) || sleeps(task))
        return 0;
    state = find_task(task);
    if (!state || state->pcount != task->sched_info.pcount || !task_selected(task, state))
        return 0;
    if (state->flags & VT_TASK_STALE)
        return 0;
    cgroup = read_task_cgroup(task);
    if (!cgroup_selected(cgroup) || (target_vm && task_vm(task) != target_vm))
        return 0;
    /* The clock of an idle CPU stands still; the reader's CPU is not idle. */
    clock = BPF_CORE_READ(task, se.cfs_rq, rq, clock);
    current = (void *)bpf_get_current_task();
    now = BPF_CORE_READ(current, se.cfs_rq, rq, clock);
    if (now > clock)
        clock = now;
    if (clock < queued)
        return 0;
    open.wait_ns = task->sched_info.run_delay + (clock - queued) - state->run_delay;
    open.cgroup_id = cgroup_id(cgroup);
    open.vm = task_vm(task);
    open.tid = task->pid;
    open.tgid = task->tgid;
    bpf_probe_read_kernel(open.comm, sizeof(open.comm), task->comm);
    bpf_seq_write(ctx->meta->seq, &open, sizeof(open));
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
