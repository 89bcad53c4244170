/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts: how long soft and hard ones run, how late soft ones are, and whose CPU time they take, which is that
 * of the task that was interrupted.
 *
 * All state is a CPU's own. Softirqs do not nest, nor do handlers of interrupts: they run with interrupts off.
 */
#include "common/cgroup.bpf.h"
#include "common/hist_add.bpf.h"
#include "common/kernel.bpf.h"
#include "common/kthread.bpf.h"
#include "common/softirq.bpf.h"
#include "common/vm.bpf.h"
#include "vtrace/irq.h"

const volatile bool irq_by_vm = false;
const volatile __u64 irq_target_vm = 0;
const volatile __u32 irq_cpus = 1;     /* possible ones */
const volatile bool irq_payers = true; /* whose CPU time softirqs take is asked for */

extern struct vt_vms vms SEC(".maps");
extern __u64 owner_changes; /* bpf/kvm.bpf.c */

__u32 irq_epoch = 1; /* counts reports */

struct vt_softirq_cpus softirq_cpus SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_hardirq_cpu);
} hardirq_cpus SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct vt_hardirq_key);
    __type(value, __u32);
} hardirq_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1);
    __type(value, __u32);
} hardirq_free_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_hardirq);
} hardirqs SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct vt_irq_charge_key);
    __type(value, __u32);
} irq_charge_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1);
    __type(value, __u32);
} irq_free_charges SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_irq_charge);
} irq_charges SEC(".maps");

/* ---- whose CPU time it is ---- */

static __noinline __u32 take_charge(struct vt_irq_charge_key *key)
{
    struct vt_irq_charge charge = {.key = *key};
    __u32 slot, *known = bpf_map_lookup_elem(&irq_charge_slots, key);

    if (known)
        return *known;
    if (bpf_map_pop_elem(&irq_free_charges, &slot))
        return 2 * key->cpu + !!(key->kind & VT_IRQ_HARD);
    bpf_map_update_elem(&irq_charges, &slot, &charge, BPF_ANY);
    if (!bpf_map_update_elem(&irq_charge_slots, key, &slot, BPF_NOEXIST))
        return slot;
    bpf_map_push_elem(&irq_free_charges, &slot, 0);
    return 2 * key->cpu + !!(key->kind & VT_IRQ_HARD);
}

static __always_inline __u64 irq_vm_of(struct task_struct *task, __u32 tgid)
{
    struct vt_vm_process *process;

    if (!irq_by_vm)
        return 0;
    process = bpf_map_lookup_elem(&vms, &tgid);
    return process && process->start_time == process_start_time(task) ? process->vm : 0;
}

/* The slot of who pays in irq_charges. */
static __noinline __u32 find_payer(struct task_struct *task, __u32 tgid, __u32 kind, __u32 cpu)
{
    struct vt_irq_charge_key key = {.kind = kind, .cpu = cpu};
    struct vt_owner owner = {.vm = (__u64)VT_OWNER_IDLE << VT_OWNER_KIND_SHIFT};
    struct cgroup *cgroup;

    if (tgid) {
        cgroup = read_task_cgroup(task);
        owner.cgroup_id = cgroup_id(cgroup);
        owner.vm = irq_vm_of(task, tgid);
        if (!cgroup_selected(cgroup) || (irq_target_vm && owner.vm != irq_target_vm))
            return VT_IRQ_EXCLUDED;
        if (is_kernels_own(task, cgroup, owner.vm))
            kthread_owner(task, &owner);
    } else if (cgroup_target || irq_target_vm) {
        return VT_IRQ_EXCLUDED;
    }
    key.cgroup_id = owner.cgroup_id;
    key.vm = owner.vm;
    return take_charge(&key);
}

/* The task that is interrupted: without helpers since 5.11. */
static __always_inline __u64 interrupted(struct task_struct **task, __u32 *tgid)
{
    if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
        struct task_struct *current = bpf_get_current_task_btf();

        *task = current;
        *tgid = current->tgid;
        return (__u64)current->cgroups;
    }
    *task = (void *)bpf_get_current_task();
    *tgid = bpf_get_current_pid_tgid() >> 32;
    return (__u64)BPF_CORE_READ(*task, cgroups);
}

/* The slot of the task that is interrupted, remembered in `last`. */
static __always_inline __u32 payer(struct vt_irq_payer *last, __u32 kind, __u32 cpu)
{
    __u32 tgid, changes = owner_changes;
    struct task_struct *task;
    __u64 css_set = interrupted(&task, &tgid);

    if (last->css_set == css_set && last->tgid == tgid && last->changes == changes + 1 &&
        last->kind == kind)
        return last->slot;
    last->slot = find_payer(task, tgid, kind, cpu);
    last->css_set = css_set;
    last->tgid = tgid;
    /* What found no slot is looked up anew each time. 0 is empty. */
    last->changes = last->slot < 2 * irq_cpus ? 0 : changes + 1;
    last->kind = kind;
    return last->slot;
}

/* True if a slot was free for it. */
static __always_inline bool charge(__u32 slot, __u64 ns)
{
    struct vt_irq_charge *to = bpf_map_lookup_elem(&irq_charges, &slot);

    if (to) {
        to->ns += ns;
        to->count++;
    }
    return slot >= 2 * irq_cpus;
}

/* Its address says that a css_set is the same only as long as no task moves. */
SEC("raw_tp/cgroup_attach_task")
int irq_cgroup_move(void *args)
{
    __sync_fetch_and_add(&owner_changes, 1);
    return 0;
}

/* ---- softirqs ---- */

/* With interrupts off. One that is raised already is not raised again. */
SEC("raw_tp/softirq_raise")
int irq_soft_raise(struct bpf_raw_tracepoint_args *args)
{
    __u32 cpu = bpf_get_smp_processor_id(), vector = args->args[0];
    struct vt_softirq_cpu *own = bpf_map_lookup_elem(&softirq_cpus, &cpu);
    struct vt_softirq *softirq;

    if (!own || vector >= VT_SOFTIRQS)
        return 0;
    softirq = &own->softirqs[vector];
    if (softirq->raised && softirq->raised_runs == softirq->runs)
        return 0;
    softirq->raised_runs = softirq->runs;
    softirq->raised = bpf_ktime_get_ns();
    return 0;
}

/* With interrupts on: what is raised meanwhile is of the next run, by its number. */
SEC("raw_tp/softirq_entry")
int irq_soft_entry(struct bpf_raw_tracepoint_args *args)
{
    __u32 cpu = bpf_get_smp_processor_id(), vector = args->args[0];
    struct vt_softirq_cpu *own = bpf_map_lookup_elem(&softirq_cpus, &cpu);
    __u64 now = bpf_ktime_get_ns(), raised;
    struct vt_softirq *softirq;
    __u32 before;

    if (!own || vector >= VT_SOFTIRQS)
        return 0;
    softirq = &own->softirqs[vector];
    softirq->start = now;
    softirq->late = 0;
    raised = softirq->raised;
    before = softirq->raised_runs;
    softirq->runs++;
    if (!raised || before + 1 != softirq->runs) {
        own->missed_start++;
    } else if (now < raised) {
        own->clock_anomaly++;
    } else {
        softirq->late = now - raised;
        hist_add_in(&own->delay[vector], now - raised, 0, irq_epoch);
    }
    if (irq_payers)
        payer(&softirq->payer, vector, cpu); /* here, as the exit has more to do */
    return 0;
}

SEC("raw_tp/softirq_exit")
int irq_soft_exit(struct bpf_raw_tracepoint_args *args)
{
    __u32 cpu = bpf_get_smp_processor_id(), vector = args->args[0];
    struct vt_softirq_cpu *own = bpf_map_lookup_elem(&softirq_cpus, &cpu);
    struct vt_softirq *softirq;
    __u64 ns;

    if (!own || vector >= VT_SOFTIRQS || !own->softirqs[vector].start)
        return 0;
    softirq = &own->softirqs[vector];
    ns = bpf_ktime_get_ns() - softirq->start;
    softirq->start = 0;
    if ((__s64)ns < 0) {
        own->clock_anomaly++;
        return 0;
    }
    hist_add_in(&own->time[vector], ns, 0, irq_epoch);
    if (irq_payers && !charge(softirq->payer.slot, ns))
        own->map_full++;
    return 0;
}

/* ---- hard interrupts ---- */

static __noinline __u32 take_hardirq(struct vt_hardirq_key *key)
{
    __u32 slot, *known = bpf_map_lookup_elem(&hardirq_slots, key);
    struct vt_hardirq *hardirq;

    if (known)
        return *known;
    if (bpf_map_pop_elem(&hardirq_free_slots, &slot))
        return key->cpu;
    hardirq = bpf_map_lookup_elem(&hardirqs, &slot);
    if (!hardirq)
        return key->cpu;
    hardirq->key = *key;
    bpf_probe_read_kernel_str(hardirq->name, sizeof(hardirq->name), (void *)key->name);
    if (!bpf_map_update_elem(&hardirq_slots, key, &slot, BPF_NOEXIST))
        return slot;
    bpf_map_push_elem(&hardirq_free_slots, &slot, 0);
    return key->cpu;
}

SEC("raw_tp/irq_handler_entry")
int irq_hard_entry(void *args)
{
    __u32 cpu = bpf_get_smp_processor_id();
    struct vt_hardirq_cpu *own = bpf_map_lookup_elem(&hardirq_cpus, &cpu);

    if (own)
        own->start = bpf_ktime_get_ns();
    return 0;
}

SEC("tp_btf/irq_handler_exit")
int BPF_PROG(irq_hard_exit, int number, struct irqaction *action, int result)
{
    __u32 cpu = bpf_get_smp_processor_id(), irq = number, slot;
    struct vt_hardirq_cpu *own = bpf_map_lookup_elem(&hardirq_cpus, &cpu);
    struct vt_hardirq_last *last;
    struct vt_hardirq *hardirq;
    __u64 ns, name;
    bool counted;

    if (!own || !own->start)
        return 0;
    ns = bpf_ktime_get_ns() - own->start;
    own->start = 0;
    if ((__s64)ns < 0) {
        own->clock_anomaly++;
        return 0;
    }
    name = (__u64)action->name;
    last = &own->last[irq % VT_HARDIRQ_CACHE];
    slot = last->slot;
    if (last->key.action != (__u64)action || last->key.name != name || last->key.irq != irq) {
        struct vt_hardirq_key key = {.action = (__u64)action, .name = name, .irq = irq, .cpu = cpu};

        slot = take_hardirq(&key);
        last->slot = slot;
        if (slot < irq_cpus)
            key.action = 0; /* looked up anew each time */
        last->key = key;
    }
    hardirq = bpf_map_lookup_elem(&hardirqs, &slot);
    if (!hardirq)
        return 0;
    hist_add_in(&hardirq->time, ns, 0, irq_epoch);
    if (!result)
        hardirq->not_handled++;
    counted = charge(payer(&last->payer, slot | VT_IRQ_HARD, cpu), ns);
    if (!counted || slot < irq_cpus)
        own->map_full++;
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
