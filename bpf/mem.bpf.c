/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory: what tasks did to get some, or waited for, in place of their work, and whom the kernel killed for it.
 *
 * Slow paths but for the hook on sched_switch, which looks at two flags of either task: a wait for a page sets one
 * of them. Else raw tracepoints, of whose arguments only those are read that never moved.
 */
#include "common/cgroup.bpf.h"
#include "common/hist_add.bpf.h"
#include "common/kernel.bpf.h"
#include "common/task_filter.bpf.h"
#include "common/task_notes.bpf.h"
#include "common/vm.bpf.h"
#include "vtrace/mem.h"

extern struct vt_vms vms SEC(".maps");

const volatile bool mem_by_vm = false;
const volatile __u64 mem_target_vm = 0;
const volatile bool mem_cgroup_v1 = false; /* the memory controller is one of v1 */

/* Which of them a wait is in, the innermost, tells what it is for. */
const volatile struct vt_mem_function mem_functions[VT_MEM_FUNCTIONS] = {};

__u32 mem_epoch = 1; /* counts reports */
__u64 mem_map_full = 0;
__u64 mem_clock_anomaly = 0;
__u64 mem_start_lost = 0; /* no room to keep when it began */
__u64 mem_oom_dropped = 0;

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, struct vt_mem_open_key);
    __type(value, struct vt_mem_open);
} mem_open SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct vt_mem_key);
    __type(value, __u32);
} mem_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1);
    __type(value, __u32);
} mem_free_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_mem_key);
} mem_keys SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_mem_stat);
} mem_stats SEC(".maps");

/* How a thread has tried to get memory last, by its tid. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __u32);
    __type(value, __u32);
} mem_last SEC(".maps");

/* The hierarchy of the memory controller. */
static __always_inline struct cgroup *memory_cgroup(struct task_struct *task)
{
    if (mem_cgroup_v1)
        return read_controller_cgroup(task,
                                      bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id));
    return BPF_CORE_READ(task, cgroups, dfl_cgrp);
}

static __noinline __u32 mem_take_slot(struct vt_mem_key *key)
{
    struct vt_mem_key none = {};
    __u32 slot, *known = bpf_map_lookup_elem(&mem_slots, key);

    if (known)
        return *known;
    if (bpf_map_pop_elem(&mem_free_slots, &slot))
        return VT_MEM_SLOT_OTHER;
    bpf_map_update_elem(&mem_keys, &slot, key, BPF_ANY);
    if (bpf_map_update_elem(&mem_slots, key, &slot, BPF_NOEXIST)) {
        bpf_map_update_elem(&mem_keys, &slot, &none, BPF_ANY);
        bpf_map_push_elem(&mem_free_slots, &slot, 0);
        known = bpf_map_lookup_elem(&mem_slots, key);
        return known ? *known : VT_MEM_SLOT_OTHER;
    }
    return slot;
}

static __always_inline __u64 mem_vm_of(struct task_struct *task, __u32 tgid)
{
    struct vt_vm_process *process;

    if (!mem_by_vm)
        return 0;
    process = bpf_map_lookup_elem(&vms, &tgid);
    return process && process->start_time == process_start_time(task) ? process->vm : 0;
}

/* What is still there has no end: that was not seen. */
static __always_inline int forget(struct vt_mem_open_key *at)
{
    bpf_map_delete_elem(&mem_open, at);
    return 0;
}

/* Of the current thread. `kind` 0 is none. */
static __always_inline int begin(struct task_struct *task, __u32 kind, bool waits)
{
    __u64 id = bpf_get_current_pid_tgid();
    struct vt_mem_open_key at = {.tid = id, .waits = waits};
    struct vt_mem_open open = {.tgid = id >> 32, .kind = kind};
    struct vt_mem_key key = {.kind = kind};
    struct cgroup *cgroup;

    /* kswapd and kcompactd work beside those who need memory. */
    if (!kind || BPF_CORE_READ(task, flags) & PF_KTHREAD || !task_selected(task, open.tgid))
        return forget(&at);
    cgroup = memory_cgroup(task);
    key.cgroup_id = cgroup_id(cgroup);
    key.vm = mem_vm_of(task, open.tgid);
    if (!cgroup_selected(cgroup) || (mem_target_vm && key.vm != mem_target_vm))
        return forget(&at);
    open.slot = mem_take_slot(&key);
    bpf_get_current_comm(open.comm, sizeof(open.comm));
    open.start = bpf_ktime_get_ns();
    if (bpf_map_update_elem(&mem_open, &at, &open, BPF_ANY))
        __sync_fetch_and_add(&mem_start_lost, 1);
    return 0;
}

static __always_inline int end(__u32 tid, bool waits, __u64 pages)
{
    struct vt_mem_open_key at = {.tid = tid, .waits = waits};
    struct vt_mem_open *open = bpf_map_lookup_elem(&mem_open, &at);
    struct vt_mem_stat *stat;
    __u64 now, start;
    __u32 slot;

    if (!open)
        return 0; /* of the kernel's own, not asked for, or began before */
    start = open->start;
    slot = open->slot;
    bpf_map_delete_elem(&mem_open, &at);
    stat = bpf_map_lookup_elem(&mem_stats, &slot);
    if (!stat)
        return 0;
    now = bpf_ktime_get_ns();
    if (now < start) {
        __sync_fetch_and_add(&mem_clock_anomaly, 1);
        return 0;
    }
    if (pages) /* of a constant 0 the compiler makes an atomic OR, which 5.10 does not know */
        __sync_fetch_and_add(&stat->pages, pages);
    hist_add_shared(&stat->time, now - start, mem_epoch);
    if (slot == VT_MEM_SLOT_OTHER)
        __sync_fetch_and_add(&mem_map_full, 1);
    __sync_fetch_and_add(&stat->count,
                         1); /* the last: by it the reader sees that there is something new */
    return 0;
}

/* ---- work for memory ---- */

static __always_inline int begin_work(__u32 kind)
{
    return begin((void *)bpf_get_current_task(), kind, false);
}

static __always_inline int end_work(__u32 kind, __u64 pages)
{
    __u32 tid = bpf_get_current_pid_tgid();

    bpf_map_update_elem(&mem_last, &tid, &kind, BPF_ANY);
    return end(tid, false, pages);
}

SEC("raw_tp/mm_vmscan_direct_reclaim_begin")
int mem_reclaim_begin(void *args)
{
    return begin_work(VT_MEM_RECLAIM);
}

/* (pages, …) */
SEC("raw_tp/mm_vmscan_direct_reclaim_end")
int mem_reclaim_end(struct bpf_raw_tracepoint_args *args)
{
    return end_work(VT_MEM_RECLAIM, args->args[0]);
}

/* On the CPU's own node only: vm.zone_reclaim_mode. */
SEC("raw_tp/mm_vmscan_node_reclaim_begin")
int mem_node_begin(void *args)
{
    return begin_work(VT_MEM_RECLAIM);
}

/* (pages, …) */
SEC("raw_tp/mm_vmscan_node_reclaim_end")
int mem_node_end(struct bpf_raw_tracepoint_args *args)
{
    return end_work(VT_MEM_RECLAIM, args->args[0]);
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_begin")
int mem_limit_begin(void *args)
{
    return begin_work(VT_MEM_LIMIT);
}

/* (pages, …) */
SEC("raw_tp/mm_vmscan_memcg_reclaim_end")
int mem_limit_end(struct bpf_raw_tracepoint_args *args)
{
    return end_work(VT_MEM_LIMIT, args->args[0]);
}

SEC("raw_tp/mm_compaction_begin")
int mem_compact_begin(void *args)
{
    return begin_work(VT_MEM_COMPACT);
}

SEC("raw_tp/mm_compaction_end")
int mem_compact_end(void *args)
{
    return end_work(VT_MEM_COMPACT, 0);
}

/* ---- waits for pages ---- */

#define MEM_FRAMES 32

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64[MEM_FRAMES]);
} mem_frames SEC(".maps");

#define MEM_NONE_OF_THEM 0xffffffffU

/* By the functions that the task which leaves its CPU is in, the innermost first. */
static __always_inline __u32 kind_by_stack(void *ctx)
{
    __u32 zero = 0;
    __u64 *frames = bpf_map_lookup_elem(&mem_frames, &zero);
    long bytes;

    if (!frames)
        return MEM_NONE_OF_THEM;
    bytes = bpf_get_stack(ctx, frames, MEM_FRAMES * sizeof(*frames), 0);
    for (__u32 i = 0; i < MEM_FRAMES && (long)(i * sizeof(*frames)) < bytes; i++) {
        for (__u32 k = 0; k < VT_MEM_FUNCTIONS; k++) {
            if (frames[i] - mem_functions[k].start < mem_functions[k].size)
                return mem_functions[k].kind;
        }
    }
    return MEM_NONE_OF_THEM;
}

static __always_inline bool works_for_memory(struct task_struct *task)
{
    struct vt_mem_open_key at = {.tid = task->pid};

    return bpf_map_lookup_elem(&mem_open, &at);
}

/* What the task that leaves its CPU waits for; 0: for none of ours. */
static __always_inline __u32 kind_of_wait(void *ctx, struct task_struct *task)
{
    bool for_memory = waits_for_memory(task);
    __u32 state = task_state(task), kind;

    if (task->flags & PF_KTHREAD || !state || state & TASK_RTLOCK_WAIT)
        return 0;
    /* A wait within a work is a part of it; one before it is for kswapd: throttle_direct_reclaim(). */
    if (task->flags & PF_MEMALLOC)
        return for_memory && !works_for_memory(task) ? VT_MEM_RECLAIM : 0;
    kind = kind_by_stack(ctx);
    if (for_memory && (kind == MEM_NONE_OF_THEM || kind == VT_MEM_FAULT))
        return VT_MEM_THRASH;
    return kind == MEM_NONE_OF_THEM ? 0 : kind;
}

/* Attached, or called by what is: see bpf/sched.bpf.c. */
SEC("tp_btf/sched_switch")
int BPF_PROG(mem_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
    if (notes_a_wait(next))
        end(next->pid, true, 0);
    if (notes_a_wait(prev) && !preempt)
        begin(prev, kind_of_wait(ctx, prev), true);
    return 0;
}

/* ---- killed for memory ---- */

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 16);
} mem_oom SEC(".maps");

/* Whom a thread has killed last: the kernel marks its victim right after the signal, in the same thread. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 256);
    __type(key, __u32);
    __type(value, struct vt_oom);
} mem_killed SEC(".maps");

#define VT_SIGKILL 9
#define VT_BY_KERNEL 1 /* SEND_SIG_PRIV, include/linux/sched/signal.h */

/* (signal, info, task, group, result) */
SEC("raw_tp/signal_generate")
int mem_signal(struct bpf_raw_tracepoint_args *args)
{
    struct task_struct *victim = (void *)args->args[2];
    struct task_struct *task = (void *)bpf_get_current_task();
    __u64 id = bpf_get_current_pid_tgid();
    struct vt_oom oom = {.cause_tgid = id >> 32};
    __u32 tid = id, *kind;
    struct cgroup *cgroup;

    if ((int)args->args[0] != VT_SIGKILL || args->args[1] != VT_BY_KERNEL)
        return 0;
    oom.time = bpf_ktime_get_ns();
    oom.tgid = BPF_CORE_READ(victim, tgid);
    oom.vm = mem_vm_of(victim, oom.tgid);
    cgroup = memory_cgroup(victim);
    oom.cgroup_id = cgroup_id(cgroup);
    if (!task_selected(victim, oom.tgid) || !cgroup_selected(cgroup) ||
        (mem_target_vm && oom.vm != mem_target_vm))
        return 0;
    oom.cause_cgroup = cgroup_id(memory_cgroup(task));
    oom.cause_vm = mem_vm_of(task, oom.cause_tgid);
    kind = bpf_map_lookup_elem(&mem_last, &tid);
    if (kind)
        oom.kind = *kind;
    bpf_probe_read_kernel(oom.comm, sizeof(oom.comm), victim->comm);
    bpf_get_current_comm(oom.cause_comm, sizeof(oom.cause_comm));
    bpf_map_update_elem(&mem_killed, &tid, &oom, BPF_ANY);
    return 0;
}

#define MEM_MARKED_WITHIN 100000000 /* ns */

/* One that was about to end anyway is marked without a signal; what its thread has killed long before is another. */
SEC("raw_tp/mark_victim")
int mem_victim(void *args)
{
    __u32 tid = bpf_get_current_pid_tgid();
    struct vt_oom *oom = bpf_map_lookup_elem(&mem_killed, &tid);

    if (!oom || bpf_ktime_get_ns() - oom->time > MEM_MARKED_WITHIN)
        return 0;
    if (bpf_ringbuf_output(&mem_oom, oom, sizeof(*oom), BPF_RB_NO_WAKEUP))
        __sync_fetch_and_add(&mem_oom_dropped, 1);
    bpf_map_delete_elem(&mem_killed, &tid);
    return 0;
}

/* Run by vtrace itself at its start. */
SEC("raw_tp/sched_switch")
int mem_note_self(void *args)
{
    self_tgid = bpf_get_current_pid_tgid() >> 32;
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
