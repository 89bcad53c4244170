// SPDX-License-Identifier: GPL-2.0-only
#include "collect/irq_collector.h"

#include "base/files.h"
#include "collect/sched_collector.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <tuple>

namespace vtrace {
namespace {

// Beside a slot for each CPU; of handlers 1.1 KiB each, for each CPU that one runs on.
constexpr uint32_t kHandlersAtLeast = 1024;
constexpr uint32_t kHandlersPerCpu = 16;
// Who paid for what on which CPU: 150 bytes each.
constexpr uint32_t kChargesAtLeast = 8192;
constexpr uint32_t kChargesPerEntity = 8;
constexpr uint32_t kChargesPerCpu = 256;
constexpr uint32_t kChargesAtMost = 131'072;

uint32_t possible_cpus()
{
    return static_cast<uint32_t>(libbpf_num_possible_cpus());
}

uint32_t handler_slots()
{
    return kHandlersAtLeast + kHandlersPerCpu * possible_cpus();
}

uint32_t charge_slots(const IrqConfig& config)
{
    return std::min(kChargesAtLeast + kChargesPerEntity * config.entities +
                        kChargesPerCpu * possible_cpus(),
                    kChargesAtMost);
}

uint32_t owner_kind(const vt_irq_charge_key& key)
{
    return static_cast<uint32_t>(key.vm >> VT_OWNER_KIND_SHIFT);
}

OwnerId owner_of(const vt_irq_charge_key& key)
{
    const vt_owner owner{.cgroup_id = key.cgroup_id, .vm = key.vm};
    if (owner_kind(key) == VT_OWNER_KTHREAD)
        return {.kthread = kthread_name(owner)};
    if (owner_kind(key) == VT_OWNER_IDLE)
        return {};
    return {.cgroup_id = key.cgroup_id, .vm = key.vm};
}

// The end before the start: what is seen to begin has its end seen. The raise before both: it is known of what runs.
std::vector<bpf_program*> hooks(BpfObject& object, const IrqParts& parts)
{
    auto& progs = object->progs;
    std::vector<bpf_program*> found = {progs.irq_cgroup_move};
    if (parts.soft)
        found.insert(found.end(),
                     {progs.irq_soft_raise, progs.irq_soft_exit, progs.irq_soft_entry});
    if (parts.hard)
        found.insert(found.end(), {progs.irq_hard_exit, progs.irq_hard_entry});
    return found;
}

} // namespace

void IrqCollector::prepare(BpfObject& object, const IrqConfig& config)
{
    auto& maps = object->maps;
    for (bpf_map* map : {maps.irq_charge_slots, maps.irq_free_charges, maps.irq_charges})
        bpf_map__set_autocreate(map, config.parts.any());
    bpf_map__set_autocreate(maps.softirq_cpus, config.parts.soft);
    for (bpf_map* map :
         {maps.hardirq_cpus, maps.hardirq_slots, maps.hardirq_free_slots, maps.hardirqs})
        bpf_map__set_autocreate(map, config.parts.hard);
    if (!config.parts.any())
        return;
    bpf_map__set_max_entries(maps.softirq_cpus, possible_cpus());
    bpf_map__set_max_entries(maps.hardirq_cpus, possible_cpus());
    for (bpf_map* map : {maps.hardirq_slots, maps.hardirq_free_slots, maps.hardirqs})
        bpf_map__set_max_entries(map, handler_slots());
    for (bpf_map* map : {maps.irq_charge_slots, maps.irq_free_charges, maps.irq_charges})
        bpf_map__set_max_entries(map, charge_slots(config));
    object->rodata->irq_by_vm = config.by_vm;
    object->rodata->irq_target_vm = config.target_vm;
    object->rodata->irq_cpus = possible_cpus();
    object->rodata->irq_payers = config.softirq_payers;
    for (bpf_program* program : hooks(object, config.parts))
        bpf_program__set_autoload(program, true);
}

Result<std::unique_ptr<IrqCollector>> IrqCollector::start(BpfObject& object,
                                                          const IrqConfig& config)
{
    std::unique_ptr<IrqCollector> self(new IrqCollector(object));
    self->config_ = config;
    self->cpus_ = possible_cpus();
    if (auto mapped = self->map_all(); !mapped)
        return mapped.error();
    if (auto handed = self->hand_out_slots(); !handed)
        return handed.error();
    if (auto attached = self->attach_all(); !attached)
        return attached.error();
    // What came between two attachments is of no window.
    Snapshot before;
    self->read(before);
    for (SoftCpu& cpu : self->soft_before_)
        cpu.seen = {};
    if (config.parts.soft) {
        const auto counts = read_file("/proc/softirqs");
        self->first_ = softirq_counts(counts ? *counts : "");
    }
    return self;
}

Status IrqCollector::map_all()
{
    auto& maps = (*object_)->maps;
    if (auto mapped = map_all_of(charges_, maps.irq_charges); !mapped)
        return mapped;
    charges_before_.resize(charges_.values().size());
    if (config_.parts.soft) {
        if (auto mapped = map_all_of(soft_, maps.softirq_cpus); !mapped)
            return mapped;
        soft_before_.resize(cpus_);
    }
    if (config_.parts.hard) {
        if (auto mapped = map_all_of(hard_cpus_, maps.hardirq_cpus); !mapped)
            return mapped;
        if (auto mapped = map_all_of(hard_, maps.hardirqs); !mapped)
            return mapped;
        hard_before_.resize(hard_.values().size());
    }
    return ok();
}

Status IrqCollector::hand_out_slots()
{
    auto& maps = (*object_)->maps;
    const auto hand_out = [](const bpf_map* queue, uint32_t from, size_t to) -> Status {
        for (uint32_t slot = from; slot < to; slot++) {
            if (bpf_map_update_elem(bpf_map__fd(queue), nullptr, &slot, BPF_ANY) != 0)
                return errno_error("cannot hand out slots for interrupts");
        }
        return ok();
    };
    if (auto done = hand_out(maps.irq_free_charges, 2 * cpus_, charges_before_.size()); !done)
        return done;
    return config_.parts.hard ? hand_out(maps.hardirq_free_slots, cpus_, hard_before_.size())
                              : ok();
}

Status IrqCollector::attach_all()
{
    for (bpf_program* program : hooks(*object_, config_.parts)) {
        auto link = attach(program);
        if (!link)
            return link.error();
        links_.push_back(std::move(*link));
    }
    return ok();
}

void IrqCollector::read_softirqs(Snapshot& snapshot, uint32_t epoch)
{
    // Before what was seen: no run that comes meanwhile counts as unseen.
    const auto text = read_file("/proc/softirqs");
    const SoftirqCounts counts = softirq_counts(text ? *text : "");
    for (uint32_t cpu = 0; cpu < cpus_; cpu++) {
        const vt_softirq_cpu& now = soft_.values()[cpu];
        SoftCpu& before = soft_before_[cpu];
        for (uint32_t vector = 0; vector < VT_SOFTIRQS; vector++) {
            IrqTimes times{.kind = {.number = vector}, .cpu = cpu};
            times.delay = read_new(now.delay[vector], before.delay.at(vector), epoch);
            times.time = read_new(now.time[vector], before.time.at(vector), epoch);
            if (times.time.buckets.empty() && times.delay.buckets.empty())
                continue;
            before.seen.at(vector) += times.time.count();
            snapshot.irq.times.push_back(std::move(times));
        }
    }
    read_unseen(snapshot.loss, counts);
}

// Since the start, as a run is counted by the kernel when it begins and here when it ends.
void IrqCollector::read_unseen(Loss& loss, const SoftirqCounts& counts)
{
    for (const auto& [of, count] : counts) {
        const auto& [cpu, vector] = of;
        const auto first = first_.find(of);
        if (first == first_.end() || cpu >= cpus_ || vector >= VT_SOFTIRQS)
            continue;
        SoftCpu& seen = soft_before_[cpu];
        const uint64_t known = first->second + seen.seen.at(vector) + 1;
        const uint64_t unseen = count - std::min(count, known);
        uint64_t& told = seen.unseen.at(vector);
        loss.unseen += unseen - std::min(unseen, told);
        told = std::max(told, unseen);
    }
}

IrqKind IrqCollector::hard_kind(uint32_t slot) const
{
    if (slot < cpus_)
        return {.hard = true, .other = true};
    const vt_hardirq& hardirq = hard_.values()[slot];
    return {.hard = true,
            .number = hardirq.key.irq,
            .action = {hardirq.name, ::strnlen(hardirq.name, sizeof(hardirq.name))}};
}

void IrqCollector::read_hardirqs(Snapshot& snapshot, uint32_t epoch)
{
    // An action that went and came back has another slot.
    std::map<std::pair<IrqKind, uint32_t>, IrqTimes> found;
    for (uint32_t slot = 0; slot < hard_before_.size(); slot++) {
        const vt_hardirq& now = hard_.values()[slot];
        Hard& before = hard_before_[slot];
        const Histogram time = read_new(now.time, before.time, epoch);
        if (time.buckets.empty())
            continue;
        const uint32_t cpu = slot < cpus_ ? slot : now.key.cpu;
        IrqTimes& times = found[{hard_kind(slot), cpu}];
        times.kind = hard_kind(slot);
        times.cpu = cpu;
        times.time.merge(time);
        const uint64_t not_handled = load_relaxed(now.not_handled);
        times.not_handled += not_handled - std::exchange(before.not_handled, not_handled);
    }
    for (auto& [key, times] : found)
        snapshot.irq.times.push_back(std::move(times));
}

void IrqCollector::read_charges(IrqSnapshot& irq)
{
    std::map<std::tuple<IrqKind, bool, OwnerId>, Charge> found; // of all CPUs
    for (uint32_t slot = 0; slot < charges_before_.size(); slot++) {
        const vt_irq_charge& now = charges_.values()[slot];
        Charge& before = charges_before_[slot];
        const Charge is{.count = load_relaxed(now.count), .ns = load_relaxed(now.ns)};
        if (is.count == before.count)
            continue;
        const bool no_room = slot < 2 * cpus_;
        IrqKind kind{.hard = true, .other = true};
        if (no_room)
            kind.hard = (slot & 1) != 0;
        else if ((now.key.kind & VT_IRQ_HARD) != 0)
            kind = hard_kind(now.key.kind & ~VT_IRQ_HARD);
        else
            kind = {.number = now.key.kind};
        const bool idle = !no_room && owner_kind(now.key) == VT_OWNER_IDLE;
        Charge& sum = found[{kind, idle, no_room ? OwnerId{} : owner_of(now.key)}];
        sum.count += is.count - before.count;
        sum.ns += is.ns - before.ns;
        before = is;
    }
    for (auto& [key, sum] : found) {
        const auto& [kind, idle, owner] = key;
        irq.charges.push_back(
            {.kind = kind, .idle = idle, .owner = owner, .count = sum.count, .ns = sum.ns});
    }
}

void IrqCollector::read_losses(Loss& loss)
{
    Loss now;
    for (uint32_t cpu = 0; cpu < cpus_; cpu++) {
        if (config_.parts.soft) {
            const vt_softirq_cpu& soft = soft_.values()[cpu];
            now.missed_start += load_relaxed(soft.missed_start);
            now.clock_anomaly += load_relaxed(soft.clock_anomaly);
            now.map_full += load_relaxed(soft.map_full);
        }
        if (config_.parts.hard) {
            const vt_hardirq_cpu& hard = hard_cpus_.values()[cpu];
            now.clock_anomaly += load_relaxed(hard.clock_anomaly);
            now.map_full += load_relaxed(hard.map_full);
        }
    }
    for (const auto field : {&Loss::missed_start, &Loss::clock_anomaly, &Loss::map_full})
        loss.*field += now.*field - std::exchange(counted_.*field, now.*field);
}

void IrqCollector::read(Snapshot& snapshot)
{
    uint32_t& counted = (*object_)->data->irq_epoch;
    const uint32_t epoch = counted;
    __atomic_store_n(&counted, epoch + 1, __ATOMIC_RELEASE);
    // Who paid before what ran: of no kind more is charged than ran.
    read_charges(snapshot.irq);
    if (config_.parts.soft)
        read_softirqs(snapshot, epoch);
    if (config_.parts.hard)
        read_hardirqs(snapshot, epoch);
    read_losses(snapshot.loss);
}

void IrqCollector::release_cgroup(uint64_t cgroup_id)
{
    release([&](const vt_irq_charge_key& key) { return key.cgroup_id == cgroup_id; });
}

void IrqCollector::release_vm(uint64_t vm)
{
    release([&](const vt_irq_charge_key& key) { return key.vm == vm; });
}

void IrqCollector::release(const std::function<bool(const vt_irq_charge_key&)>& is_gone)
{
    auto& maps = (*object_)->maps;
    // What CPUs remember of it is looked up anew.
    __atomic_fetch_add(&(*object_)->bss->owner_changes, 1, __ATOMIC_RELEASE);
    for (uint32_t slot = 2 * cpus_; slot < charges_before_.size(); slot++) {
        const vt_irq_charge_key key = charges_.values()[slot].key;
        uint32_t known = 0;
        if (owner_kind(key) == VT_OWNER_KTHREAD || owner_kind(key) == VT_OWNER_IDLE ||
            !is_gone(key) ||
            bpf_map_lookup_elem(bpf_map__fd(maps.irq_charge_slots), &key, &known) != 0 ||
            known != slot || bpf_map_delete_elem(bpf_map__fd(maps.irq_charge_slots), &key) != 0)
            continue;
        const vt_irq_charge none = {};
        bpf_map_update_elem(bpf_map__fd(maps.irq_charges), &slot, &none, BPF_ANY);
        charges_before_[slot] = {};
        bpf_map_update_elem(bpf_map__fd(maps.irq_free_charges), nullptr, &slot, BPF_ANY);
    }
}

} // namespace vtrace
