/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory: what tasks did to get some in place of their work, and whom the kernel killed for it.
 *
 * Slow paths all: a reclaim takes some 10 us at least, so that a hash of those under way is cheap beside it. Raw
 * tracepoints, of whose arguments only those are read that never moved.
 */
#include "common/cgroup.bpf.h"
#include "common/kernel.bpf.h"
#include "common/vm.bpf.h"
#include "vtrace/mem.h"

extern struct vt_vms vms SEC(".maps");

const volatile bool mem_by_vm = false;
const volatile __u64 mem_target_vm = 0;

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

static __always_inline __u64 vm_of(struct task_struct *task, __u32 tgid)
{
    struct vt_vm_process *process;

    if (!mem_by_vm)
        return 0;
    process = bpf_map_lookup_elem(&vms, &tgid);
    return process && process->start_time == process_start_time(task) ? process->vm : 0;
}

static __always_inline int begin(__u32 kind)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    __u64 id = bpf_get_current_pid_tgid();
    struct vt_mem_open_key at = {.tid = id, .kind = kind};
    struct vt_mem_open open = {.tgid = id >> 32};
    struct vt_mem_key key = {.kind = kind};
    struct cgroup *cgroup;

    /* kswapd and kcompactd work beside those who need memory. */
    if (BPF_CORE_READ(task, flags) & PF_KTHREAD)
        return 0;
    cgroup = read_task_cgroup(task);
    key.cgroup_id = cgroup_id(cgroup);
    key.vm = vm_of(task, open.tgid);
    open.slot = VT_MEM_SLOT_EXCLUDED;
    if (cgroup_selected(cgroup) && (!mem_target_vm || key.vm == mem_target_vm))
        open.slot = mem_take_slot(&key);
    if (open.slot == VT_MEM_SLOT_EXCLUDED)
        return 0;
    if (open.slot == VT_MEM_SLOT_OTHER)
        __sync_fetch_and_add(&mem_map_full, 1);
    open.start = bpf_ktime_get_ns();
    if (bpf_map_update_elem(&mem_open, &at, &open, BPF_ANY))
        __sync_fetch_and_add(&mem_start_lost, 1);
    return 0;
}

static __always_inline void add_time(struct vt_hist *hist, __u64 ns)
{
    __u32 bucket = vt_hist_bucket(ns), epoch = mem_epoch, parity = epoch & 1;

    __sync_fetch_and_add(&hist->sum, ns);
    /* Of two at once the smaller one may stay: the reader takes the edge of its bucket then. */
    if (hist->epoch[parity] != epoch) {
        hist->epoch[parity] = epoch;
        hist->max[parity] = ns;
    } else if (ns > hist->max[parity]) {
        hist->max[parity] = ns;
    }
    if (bucket < VT_HIST_BUCKETS)
        __sync_fetch_and_add(&hist->buckets[bucket], 1);
}

static __always_inline int end(__u32 kind, __u64 pages)
{
    struct vt_mem_open_key at = {.tid = (__u32)bpf_get_current_pid_tgid(), .kind = kind};
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
    __sync_fetch_and_add(&stat->count, 1);
    __sync_fetch_and_add(&stat->pages, pages);
    add_time(&stat->time, now - start);
    return 0;
}

SEC("raw_tp/mm_vmscan_direct_reclaim_begin")
int mem_reclaim_begin(void *args)
{
    return begin(VT_MEM_RECLAIM);
}

/* (pages, …) */
SEC("raw_tp/mm_vmscan_direct_reclaim_end")
int mem_reclaim_end(struct bpf_raw_tracepoint_args *args)
{
    return end(VT_MEM_RECLAIM, args->args[0]);
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_begin")
int mem_limit_begin(void *args)
{
    return begin(VT_MEM_LIMIT);
}

/* (pages, …) */
SEC("raw_tp/mm_vmscan_memcg_reclaim_end")
int mem_limit_end(struct bpf_raw_tracepoint_args *args)
{
    return end(VT_MEM_LIMIT, args->args[0]);
}

SEC("raw_tp/mm_compaction_begin")
int mem_compact_begin(void *args)
{
    return begin(VT_MEM_COMPACT);
}

SEC("raw_tp/mm_compaction_end")
int mem_compact_end(void *args)
{
    return end(VT_MEM_COMPACT, 0);
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

/* (signal, info, task, group, result) */
SEC("raw_tp/signal_generate")
int mem_signal(struct bpf_raw_tracepoint_args *args)
{
    struct task_struct *victim = (void *)args->args[2];
    struct task_struct *task = (void *)bpf_get_current_task();
    __u64 id = bpf_get_current_pid_tgid();
    struct vt_oom oom = {.cause_tgid = id >> 32};
    __u32 tid = id;

    if ((int)args->args[0] != VT_SIGKILL)
        return 0;
    oom.time = bpf_ktime_get_ns();
    oom.cgroup_id = cgroup_id(read_task_cgroup(victim));
    oom.cause_cgroup = cgroup_id(read_task_cgroup(task));
    oom.tgid = BPF_CORE_READ(victim, tgid);
    bpf_probe_read_kernel(oom.comm, sizeof(oom.comm), victim->comm);
    bpf_get_current_comm(oom.cause_comm, sizeof(oom.cause_comm));
    bpf_map_update_elem(&mem_killed, &tid, &oom, BPF_ANY);
    return 0;
}

/* (pid), or (task, uid) since 6.9, in stable kernels since 6.1 */
SEC("raw_tp/mark_victim")
int mem_victim(void *args)
{
    __u32 tid = bpf_get_current_pid_tgid();
    struct vt_oom *oom = bpf_map_lookup_elem(&mem_killed, &tid);

    if (!oom || bpf_ringbuf_output(&mem_oom, oom, sizeof(*oom), 0))
        __sync_fetch_and_add(&mem_oom_dropped, 1);
    bpf_map_delete_elem(&mem_killed, &tid);
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
