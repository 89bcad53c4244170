/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who ran on a CPU while a task waited for it. Each CPU keeps its last changes of owner exactly, and what was
 * before in coarser and coarser blocks; a wait is walked back over them as it ends.
 */
#ifndef VTRACE_COMMON_BLAME_BPF_H
#define VTRACE_COMMON_BLAME_BPF_H

#include "common/pairs.bpf.h"

/* By CPU, only with blame. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_history);
} sched_history SEC(".maps");

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

/* Of ns that are spread over a whole, those in a part of it. */
static __always_inline __u64 part_of(__u64 ns, __u64 part, __u64 whole)
{
    if (part == whole || !ns)
        return ns;
    if (whole >> 32) { /* the product must fit into 64 bits: so it does up to 1000 s */
        part >>= 16;
        whole >>= 16;
    }
    return whole ? ns * part / whole : 0;
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
__noinline int blame_block(__u32 number, __u32 slot, __u32 where, __u64 end, bool open)
{
    struct vt_history *history = bpf_map_lookup_elem(&sched_history, &number);
    struct vt_ask *ask = find_ask(open);
    struct vt_block *block;
    __u64 part, whole, ns;

    if (!history || !ask)
        return 0;
    block = &history->levels[where / VT_BLOCKS % VT_LEVELS].blocks[where % VT_BLOCKS];
    part = overlap(block->start, end, ask->from, ask->to);
    whole = end - block->start;
    if (!part || !whole)
        return 0;
    if (whole >> 32) { /* as in part_of() */
        part >>= 16;
        whole >>= 16;
    }
    for (int i = 0; i < VT_BLOCK_OWNERS; i++) {
        if (!block->ns[i])
            break;
        ns = block->ns[i] * part / whole;
        if (ns > ask->left)
            ns = ask->left;
        ask->left -= ns;
        blame_add(slot, block->running[i], ns, open);
    }
    return 0;
}

/* The blocks of one level, the latest first. What is older than they are is left to the next level. */
__noinline int blame_level(__u32 number, __u32 slot, __u32 level, bool open)
{
    struct vt_history *history = bpf_map_lookup_elem(&sched_history, &number);
    struct vt_ask *ask = find_ask(open);
    struct vt_level *blocks;
    __u64 end, start, last;

    if (!history || !ask)
        return 0;
    blocks = &history->levels[level % VT_LEVELS];
    end = blocks->until;
    last = blocks->last;
    for (int i = 0; i < VT_BLOCKS; i++) {
        start = blocks->blocks[(last - i) % VT_BLOCKS].start;
        if (!start || start > end || end <= ask->from)
            break;
        blame_block(number, slot, level * VT_BLOCKS + (last - i) % VT_BLOCKS, end, open);
        if (start < ask->to)
            ask->to = start;
        end = start;
    }
    return 0;
}

/* What is older than the slices that are remembered, in coarse steps. */
__noinline int blame_blocks(__u32 number, __u32 slot, bool open)
{
    struct vt_ask *ask = find_ask(open);

    if (!ask)
        return 0;
    if (ask->throttled && ask->throttled_to > ask->from) /* it was first */
        ask->from = ask->throttled_to;
    if (ask->to <= ask->from)
        return 0;
    ask->left = ask->to - ask->from;
    for (int level = 0; level < VT_LEVELS; level++)
        blame_level(number, slot, level, open);
    blame_add(slot, VT_CODE_UNKNOWN, ask->left, open);
    return 0;
}

/* What lies within the slices that are remembered; 1 if there is more. */
__noinline int blame_slices(__u32 number, __u32 slot, bool open)
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
    if (end <= from)
        return 0;
    start = cpu->since;
    code = cpu->running;
    head = history->head;
    for (int i = 0; i <= VT_HISTORY; i++) {
        if (!start || start > end)
            break;
        blame_slice(slot, code, start, end, open);
        if (start <= from)
            return 0;
        end = start;
        if (i == VT_HISTORY || (__u64)i >= head)
            break;
        slice = &history->slices[(head - 1 - i) % VT_HISTORY];
        start = slice->start;
        code = slice->running;
        ask->steal = slice->steal;
        ask->irq = slice->irq;
    }
    ask->to = end;
    return 1;
}

/*
 * Charges a wait on a CPU, from ask->from to ask->to, to who ran there meanwhile, the latest first. What is
 * older than the history is charged as unknown. Called with that CPU's lock held, but for the iterator.
 */
static __always_inline void blame_between(__u32 number, __u32 slot, bool open)
{
    if (blame_slices(number, slot, open))
        blame_blocks(number, slot, open);
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

static __always_inline void add_to_block(struct vt_block *block, __u32 running, __u64 ns)
{
#pragma clang loop unroll(full)
    for (int i = 0; i < VT_BLOCK_OWNERS; i++) {
        if (!block->ns[i])
            block->running[i] = running;
        if (block->running[i] == running) {
            block->ns[i] = at_most_u32(block->ns[i] + ns);
            break;
        }
    }
}

/* The present block of a level is full: it becomes a part of the next level's. */
__noinline int end_block(__u32 level, __u64 clock)
{
    __u32 number = bpf_get_smp_processor_id();
    struct vt_history *history = bpf_map_lookup_elem(&sched_history, &number);
    struct vt_level *fine, *coarse;
    struct vt_block *block, *into;

    if (!history)
        return 0;
    fine = &history->levels[level % VT_LEVELS];
    block = &fine->blocks[fine->last % VT_BLOCKS];
    if (level + 1 < VT_LEVELS) {
        coarse = &history->levels[(level + 1) % VT_LEVELS];
        into = &coarse->blocks[coarse->last % VT_BLOCKS];
        if (!into->start)
            into->start = block->start;
        for (int i = 0; i < VT_BLOCK_OWNERS; i++) {
            if (!block->ns[i])
                break;
            add_to_block(into, block->running[i], block->ns[i]);
        }
        coarse->until = clock;
    }
    fine->last++;
    block = &fine->blocks[fine->last % VT_BLOCKS];
    block->start = clock;
    __builtin_memset(block->ns, 0, sizeof(block->ns));
    return 0;
}

__noinline int end_blocks(__u64 clock)
{
    __u32 number = bpf_get_smp_processor_id();
    struct vt_history *history = bpf_map_lookup_elem(&sched_history, &number);
    __u64 length = VT_BLOCK_NS;

    if (!history)
        return 0;
    for (int level = 0; level < VT_LEVELS; level++) {
        struct vt_level *blocks = &history->levels[level];

        if (clock - blocks->blocks[blocks->last % VT_BLOCKS].start < length)
            break;
        end_block(level, clock);
        length *= VT_COARSER;
    }
    return 0;
}

/* The slice that ends with this switch is a part of the present block, too. */
static __always_inline void add_slice_to_block(struct vt_level *finest, __u32 running, __u64 since,
                                               __u64 clock)
{
    struct vt_block *block = &finest->blocks[finest->last % VT_BLOCKS];

    if (!block->start)
        block->start = since;
    add_to_block(block, running, clock - since);
    finest->until = clock;
    if (clock - block->start >= VT_BLOCK_NS)
        end_blocks(clock);
}

/* The slice that ends with this switch becomes history; `running` has the CPU from now on. */
static __always_inline void add_to_history(struct vt_sched_cpu *cpu, __u64 clock, __u64 steal_now,
                                           __u64 irq_now, __u32 running)
{
    __u32 number = bpf_get_smp_processor_id();
    struct vt_history *history = bpf_map_lookup_elem(&sched_history, &number);
    __u64 steal = steal_now - cpu->steal, irq = irq_now - cpu->irq;
    __u32 ran = cpu->running;
    struct vt_slice *slice;

    cpu->steal = steal_now;
    cpu->irq = irq_now;
    cpu->running = running;
    if (!history || !cpu->since)
        return;
    add_slice_to_block(&history->levels[0], ran, cpu->since, clock);
    slice = &history->slices[(history->head - 1) % VT_HISTORY];
    if (history->head && slice->running == ran) {
        slice->steal = at_most_u32(slice->steal + steal);
        slice->irq = at_most_u32(slice->irq + irq);
        return;
    }
    slice = &history->slices[history->head % VT_HISTORY];
    slice->start = cpu->since;
    slice->running = ran;
    slice->steal = at_most_u32(steal);
    slice->irq = at_most_u32(irq);
    history->head++;
}

#endif
