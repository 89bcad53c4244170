/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where tasks block: the time between two slices, by stack and reason. As a task leaves its CPU only its user
 * stack is taken, by a walk along the frame pointers: it can be read in no other place, and the kernel's helper
 * for it takes five times as long. All else is done as the task comes back, if it was away for
 * long enough: its kernel stack has not changed meanwhile.
 */
#ifndef VTRACE_COMMON_STACKS_BPF_H
#define VTRACE_COMMON_STACKS_BPF_H

#include "common/reason.bpf.h"
#include "common/tasks.bpf.h"
#include "common/vm.bpf.h"
#include "vtrace/stacks.h"

const volatile bool stacks = false;
const volatile bool blocked_only = false; /* not what could run but for a CPU */
const volatile __u64 block_min_ns = 0;
const volatile __u64 block_max_ns = 0xffffffffffffffff;
const volatile __u64 stack_seed = 0; /* random: nobody makes two stacks of one id on purpose */

struct vt_stack_losses stack_losses;

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct vt_user_stack);
} user_stacks SEC(".maps");

/* In place of user_stacks where there is no task storage. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, struct vt_sched_task_key);
    __type(value, struct vt_user_stack);
} user_stacks_hash SEC(".maps");

/* A hash of the frames, and of whose they are, to the stack. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64);
    __type(value, struct vt_stack);
} stack_frames SEC(".maps");

/* Room to put a stack together: one for the hook, one for the iterator. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, struct vt_stack);
} stack_scratch SEC(".maps");

/* Ids of user stacks seen for the first time: their process may not be there for long. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 16);
} new_stacks SEC(".maps");

struct block_totals {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, struct vt_block_key);
    __type(value, struct vt_block_total);
} block_totals_0 SEC(".maps"), block_totals_1 SEC(".maps");

/* That of the present window: user space puts the other one in its place, and then reads the first at leisure. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, __u32);
    __array(values, struct block_totals);
} block_window SEC(".maps") = {.values = {(void *)&block_totals_0}};

static __always_inline struct vt_user_stack *find_user_stack(struct task_struct *task)
{
    struct vt_sched_task_key key;

    if (use_task_storage)
        return bpf_task_storage_get(&user_stacks, task, NULL, 0);
    key = task_key(task);
    return bpf_map_lookup_elem(&user_stacks_hash, &key);
}

/* Room for the user stack of a task; allocates, so it is for process context only. */
static __always_inline bool add_user_stack(struct task_struct *task)
{
    static const struct vt_user_stack none;
    struct vt_sched_task_key key;
    long error;

    if (use_task_storage)
        return bpf_task_storage_get(&user_stacks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
    key = task_key(task);
    error = bpf_map_update_elem(&user_stacks_hash, &key, &none, BPF_NOEXIST);
    return !error || error == -VT_EEXIST;
}

#ifdef __TARGET_ARCH_x86

#define NR_EXECVE 59
#define NR_EXECVEAT 322

struct user_registers {
    __u64 ip;
    __u64 sp;
    __u64 bp;
    __u64 system_call;
};

static __always_inline void read_registers(struct task_struct *task, struct user_registers *to)
{
    struct pt_regs___x86_64 *regs;

    if (bpf_core_enum_value_exists(enum bpf_func_id___since_5_15,
                                   BPF_FUNC_task_pt_regs___since_5_15)) {
        regs = (void *)bpf_task_pt_regs(task);
        to->ip = regs->ip;
        to->sp = regs->sp;
        to->bp = regs->bp;
        to->system_call = regs->orig_ax;
    } else {
        /* As in find_system_call(). */
        regs = task->stack + 16384 - bpf_core_type_size(struct pt_regs___x86_64);
        to->ip = BPF_CORE_READ(regs, ip);
        to->sp = BPF_CORE_READ(regs, sp);
        to->bp = BPF_CORE_READ(regs, bp);
        to->system_call = BPF_CORE_READ(regs, orig_ax);
    }
}

/*
 * Walks along the frame pointers. A function without one is left out with its callers up to the next that has
 * one; what is no frame for sure (not above the one before, unreadable) ends the stack.
 */
static __always_inline void walk(struct vt_user_stack *stack, struct user_registers *regs)
{
    __u64 frame[2]; /* the caller's frame pointer, the address to return to */
    __u64 at = regs->bp;

    stack->frames[0] = regs->ip;
    stack->count = 1;
    if (at < regs->sp)
        return;
    for (int i = 1; i < VT_FRAMES; i++) {
        if (bpf_probe_read_user(frame, sizeof(frame), (void *)at) || !frame[1])
            break;
        stack->frames[i] = frame[1];
        stack->count = i + 1;
        if (frame[0] <= at)
            break;
        at = frame[0];
    }
}

static __always_inline bool walk_user_stack(struct task_struct *task, struct vt_user_stack *stack)
{
    struct user_registers regs;

    read_registers(task, &regs);
    if (!regs.ip) { /* a worker in the kernel for a process has no user code */
        stack->known = 1;
        return true;
    }
    if (!(regs.ip >> 32) && !(regs.sp >> 32)) /* perhaps of 32 bits: the helper knows */
        return false;
    /* The registers may be from before, the memory of the new program: nothing can be said. */
    if (regs.system_call == NR_EXECVE || regs.system_call == NR_EXECVEAT)
        return true;
    walk(stack, &regs);
    stack->known = 1;
    return true;
}

#else

static __always_inline bool walk_user_stack(struct task_struct *task, struct vt_user_stack *stack)
{
    return false;
}

#endif

/* Of the task that leaves its CPU. */
static __always_inline void take_user_stack(struct task_struct *task)
{
    struct vt_user_stack *stack;
    long size;

    if (task->flags & PF_KTHREAD)
        return;
    stack = find_user_stack(task);
    if (!stack)
        return;
    stack->count = 0;
    stack->known = 0;
    if (walk_user_stack(task, stack))
        return;
    size = bpf_get_task_stack(task, stack->frames, sizeof(stack->frames), BPF_F_USER_STACK);
    if (size < 0)
        return;
    stack->count = (__u32)size / sizeof(__u64);
    stack->known = 1;
}

static __always_inline __u64 mix(__u64 hash, __u64 word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 32;
}

static __always_inline __u64 stack_hash(struct vt_stack *stack)
{
    __u64 hash = mix(stack_seed, stack->tgid);
    __u32 count = stack->count;

    hash = mix(hash, stack->start_time);
    hash = mix(hash, stack->exec_id);
    for (__u32 i = 0; i < VT_FRAMES; i++) {
        if (i >= count)
            break;
        hash = mix(hash, stack->frames[i]);
    }
    hash = mix(hash, count);
    return hash <= VT_STACK_LOST ? hash + VT_STACK_LOST + 1 : hash;
}

/* The id of a stack, which is in the table then. */
static __noinline __u64 stack_id(struct vt_stack *stack)
{
    __u64 id, *notice;

    if (!stack)
        return VT_STACK_LOST;
    id = stack_hash(stack);
    if (bpf_map_lookup_elem(&stack_frames, &id))
        return id;
    if (bpf_map_update_elem(&stack_frames, &id, stack, BPF_NOEXIST)) {
        /* Another CPU was faster, or the table is full. */
        if (bpf_map_lookup_elem(&stack_frames, &id))
            return id;
        __sync_fetch_and_add(&stack_losses.lost, 1);
        return VT_STACK_LOST;
    }
    if (!stack->tgid)
        return id;
    notice = bpf_ringbuf_reserve(&new_stacks, sizeof(*notice), 0);
    if (!notice) {
        __sync_fetch_and_add(&stack_losses.unnoticed, 1);
        return id;
    }
    *notice = id;
    bpf_ringbuf_submit(notice, BPF_RB_NO_WAKEUP);
    return id;
}

static __always_inline __u64 kernel_stack_id(struct task_struct *task, struct vt_stack *scratch)
{
    long size = bpf_get_task_stack(task, scratch->frames, sizeof(scratch->frames), 0);

    if (size <= 0)
        return VT_STACK_NOT_TAKEN;
    scratch->count = (__u32)size / sizeof(__u64);
    scratch->tgid = 0;
    scratch->start_time = 0;
    scratch->exec_id = 0;
    return stack_id(scratch);
}

static __always_inline __u64 user_stack_id(struct task_struct *task, struct vt_stack *scratch)
{
    struct vt_user_stack *stack;

    if (task->flags & PF_KTHREAD)
        return VT_STACK_NONE;
    stack = find_user_stack(task);
    if (!stack || !stack->known)
        return VT_STACK_NOT_TAKEN;
    if (!stack->count)
        return VT_STACK_NONE;
    bpf_probe_read_kernel(scratch->frames, sizeof(scratch->frames), stack->frames);
    scratch->count = stack->count;
    scratch->tgid = task->tgid;
    scratch->start_time = process_start_time(task);
    scratch->exec_id = task->self_exec_id;
    scratch->start_code = BPF_CORE_READ(task, mm, start_code);
    scratch->start_stack = BPF_CORE_READ(task, mm, start_stack);
    return stack_id(scratch);
}

/* What a block of a task is summed by. Once it runs again, its kernel stack is another. */
static __always_inline bool block_key(struct task_struct *task, __u32 slot, __u8 reason, bool runs,
                                      __u32 scratch_number, struct vt_block_key *key)
{
    struct vt_stack *scratch = bpf_map_lookup_elem(&stack_scratch, &scratch_number);

    if (!scratch)
        return false;
    key->kernel_stack = runs ? VT_STACK_NOT_TAKEN : kernel_stack_id(task, scratch);
    key->user_stack = user_stack_id(task, scratch);
    key->slot = slot;
    key->tgid = task->tgid;
    key->reason = reason;
    key->zero = 0;
    bpf_probe_read_kernel(key->comm, sizeof(key->comm), task->comm);
    return true;
}

static __always_inline void block_lost(__u64 ns)
{
    __sync_fetch_and_add(&stack_losses.blocks_lost, 1);
    __sync_fetch_and_add(&stack_losses.blocks_lost_ns, ns);
}

/* A block that was asked for has ended; where that was not seen, the task runs already. */
static __noinline int add_block(struct task_struct *task, __u32 slot, __u32 reason, bool runs,
                                __u64 ns)
{
    const struct vt_block_total none = {};
    struct vt_block_total *total;
    struct vt_block_key key;
    __u32 window = 0;
    void *totals;

    totals = bpf_map_lookup_elem(&block_window, &window);
    if (!totals || !block_key(task, slot, reason, runs, 0, &key)) {
        block_lost(ns);
        return 0;
    }
    if (key.user_stack == VT_STACK_NOT_TAKEN || key.kernel_stack == VT_STACK_NOT_TAKEN)
        __sync_fetch_and_add(&stack_losses.not_taken, 1);
    total = bpf_map_lookup_elem(totals, &key);
    if (!total) {
        bpf_map_update_elem(totals, &key, &none, BPF_NOEXIST);
        total = bpf_map_lookup_elem(totals, &key);
    }
    if (!total) {
        block_lost(ns);
        return 0;
    }
    __sync_fetch_and_add(&total->count, 1);
    __sync_fetch_and_add(&total->ns, ns);
    if (ns > total->max)
        total->max = ns;
    return 0;
}

static __always_inline bool block_selected(__u8 reason, __u64 ns)
{
    return ns >= block_min_ns && ns <= block_max_ns && !(blocked_only && is_runnable(reason));
}

#endif
