// SPDX-License-Identifier: GPL-2.0-only
#include "collect/kvm_collector.h"

#include "base/clock.h"
#include "base/files.h"
#include "bpf/kvm_layout.h"
#include "bpf/probe.h"
#include "bpf/tracefs.h"
#include "entity/vm_finder.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <utility>

namespace vtrace {
namespace {

// Of the tables: 1.1 KiB for each thing that a vCPU does.
constexpr uint32_t kSlotsAtLeast = 2048;
constexpr uint32_t kSlotsPerThread = 32;
constexpr uint32_t kSlotsAtMost = 65536;
constexpr uint32_t kVcpusAtLeast = 1024;

uint32_t slots(const KvmConfig& config)
{
    return std::min(kSlotsAtLeast + kSlotsPerThread * config.vm_threads, kSlotsAtMost);
}

// At most half of them are taken, so that one is near.
uint32_t vcpu_places(const KvmConfig& config)
{
    return std::bit_ceil(kVcpusAtLeast + 2 * config.vm_threads);
}

// The hook on a raw tracepoint, when it is wanted, and what is missing without.
struct Hook {
    bpf_program* program;
    bool wanted;
};

using Hooks = std::vector<Hook>;

bool knows_reasons(const KvmLayout& layout)
{
    const auto there = [](const char* module) {
        return ::access((std::string("/sys/module/") + module).c_str(), F_OK) == 0;
    };
    return (!there("kvm_intel") || layout.vmx) && (!there("kvm_amd") || layout.svm);
}

Hooks hooks(BpfObject& object, const KvmParts& parts, bool tells_exits)
{
    auto& progs = object->progs;
    const bool exits = parts.exits || parts.accesses || parts.memory;
    const bool told = exits && tells_exits;
    const bool instead = parts.exits && !tells_exits;
    return {{progs.kvm_entry, told || (parts.interrupts && tells_exits)},
            {progs.kvm_to_vmm, told || instead},
            {progs.kvm_mmio, told || instead || parts.accesses},
            {progs.kvm_pio, instead || parts.accesses},
            {progs.kvm_fast_mmio, parts.accesses && tells_exits},
            {progs.kvm_cpuid, instead},
            {progs.kvm_msr, instead},
            {progs.kvm_emulation, instead},
            {progs.kvm_hypercall, instead},
            {progs.kvm_unmap, parts.memory},
            {progs.kvm_halt, parts.halts || instead},
            {progs.kvm_msi, parts.interrupts},
            {progs.kvm_thread_ends, true}};
}

bool wants_exits(const KvmParts& parts, const KvmFlavour& flavour)
{
    return flavour.tells_exits && (parts.exits || parts.accesses || parts.memory);
}

} // namespace

Status check_kvm()
{
    if (kernel_has_kvm())
        return ok();
    return Error{.what = "there is no KVM on this host: no /sys/module/kvm",
                 .hint = "on a host with VMs, `modprobe kvm_intel` or `modprobe kvm_amd`",
                 .exit = ExitCode::kNotPossible};
}

KvmFlavour kvm_flavour(const std::string& modules)
{
    for (const char* name : {"kvm_intel", "kvm_amd"}) {
        if (::access((modules + "/" + name).c_str(), F_OK) == 0)
            return {.name = name};
    }
#ifdef __x86_64__
    // What else there is on x86 has neither VMX nor SVM: its exits are its own affair.
    const bool pvm = ::access((modules + "/kvm_pvm").c_str(), F_OK) == 0;
    return {.name = pvm ? "kvm_pvm" : "kvm", .tells_exits = false};
#else
    return {.name = "kvm"};
#endif
}

void KvmCollector::prepare(BpfObject& object, const KvmConfig& config)
{
    const bool on = config.parts.any();
    auto& maps = object->maps;
    for (bpf_map* map : {maps.kvm_vcpus, maps.kvm_claims, maps.kvm_slot_of, maps.kvm_keys,
                         maps.kvm_stats, maps.kvm_free_slots, maps.kvm_asked})
        bpf_map__set_autocreate(map, on);
    if (!on)
        return;
    const uint32_t most = slots(config);
    bpf_map__set_max_entries(maps.kvm_vcpus, vcpu_places(config));
    bpf_map__set_max_entries(maps.kvm_claims, vcpu_places(config));
    for (bpf_map* map : {maps.kvm_slot_of, maps.kvm_keys, maps.kvm_stats, maps.kvm_free_slots})
        bpf_map__set_max_entries(map, most);

    const KvmFlavour flavour = kvm_flavour();
    object->rodata->kvm_target_vm = config.target_vm;
    object->rodata->kvm_vcpu_places = vcpu_places(config);
    object->rodata->kvm_tells_exits = flavour.tells_exits;
    object->rodata->kvm_by_access = config.parts.accesses;
    for (const Hook& hook : hooks(object, config.parts, flavour.tells_exits))
        bpf_program__set_autoload(hook.program, hook.wanted);
    auto& progs = object->progs;
    for (bpf_program* program : {progs.kvm_injected, progs.kvm_injected_plain})
        bpf_program__set_autoload(program, config.parts.interrupts && flavour.tells_exits);
    if (!wants_exits(config.parts, flavour))
        return;
    bool known = true;
#ifdef __x86_64__
    const KvmLayout layout = has_module_types() ? kvm_layout() : KvmLayout{};
    object->rodata->kvm_vmx_reason = layout.vmx.value_or(vt_kvm_place{});
    object->rodata->kvm_svm_reason = layout.svm.value_or(vt_kvm_place{});
    known = knows_reasons(layout);
    bpf_program__set_autoload(progs.kvm_exit_with_reason, true);
#endif
    bpf_program__set_autoload(known ? progs.kvm_exit : progs.kvm_exit_classic, true);
}

Result<std::unique_ptr<KvmCollector>> KvmCollector::start(BpfObject& object,
                                                          const KvmConfig& config)
{
    std::unique_ptr<KvmCollector> self(new KvmCollector(object, config));
    const uint32_t most = slots(config);
    auto keys = MappedArray<vt_kvm_key>::map(bpf_map__fd(object->maps.kvm_keys), most);
    if (!keys)
        return keys.error();
    self->keys_ = std::move(*keys);
    auto stats = MappedArray<vt_kvm_stat>::map(bpf_map__fd(object->maps.kvm_stats), most);
    if (!stats)
        return stats.error();
    self->stats_ = std::move(*stats);
    auto places =
        MappedArray<vt_vcpu>::map(bpf_map__fd(object->maps.kvm_vcpus), vcpu_places(config));
    if (!places)
        return places.error();
    self->places_ = std::move(*places);
    self->counts_.resize(most);
    self->before_.resize(most);
    const int free_slots = bpf_map__fd(object->maps.kvm_free_slots);
    for (uint32_t slot = VT_KVM_SLOT_OTHER + 1; slot < most; slot++) {
        if (bpf_map_update_elem(free_slots, nullptr, &slot, BPF_ANY) != 0)
            return errno_error("cannot hand out slots for figures of VMs");
    }
    if (auto attached = self->attach_all(); !attached)
        return attached.error();
    // What came between two attachments is of no window.
    Snapshot before;
    self->read(before);
    return self;
}

// A tracepoint that this kernel's KVM does not have is no failure: a figure is missing, and named.
void KvmCollector::attach_if_there(bpf_program* program)
{
    auto link = attach(program);
    if (link)
        links_.push_back(std::move(*link));
    else
        missing_.push_back(link.error().what);
}

Status KvmCollector::attach_all()
{
    // First what ends an exit: one that was seen has its end seen.
    for (const Hook& hook : hooks(*object_, config_.parts, flavour_.tells_exits)) {
        if (hook.wanted)
            attach_if_there(hook.program);
    }
    if (config_.parts.interrupts && flavour_.tells_exits)
        attach_injections();
    return wants_exits(config_.parts, flavour_) ? attach_exit() : ok();
}

// Since 6.0 the tracepoint says if it is the same interrupt once more.
void KvmCollector::attach_injections()
{
    auto& progs = (*object_)->progs;
    auto link = attach(progs.kvm_injected);
    if (link)
        links_.push_back(std::move(*link));
    else
        attach_if_there(progs.kvm_injected_plain);
}

// Before 5.16 the tracepoint has the reason; since then it is in the vCPU, or else in the record.
Status KvmCollector::attach_exit()
{
    auto& progs = (*object_)->progs;
    if (bpf_program__autoload(progs.kvm_exit_with_reason)) {
        if (auto link = attach(progs.kvm_exit_with_reason)) {
            links_.push_back(std::move(*link));
            return ok();
        }
    }
    const bool known = bpf_program__autoload(progs.kvm_exit);
    auto link =
        known ? attach(progs.kvm_exit) : attach_tracepoint(progs.kvm_exit_classic, "kvm/kvm_exit");
    if (!link)
        return link.error();
    links_.push_back(std::move(*link));
    if (!known) {
        missing_.emplace_back("the kernel does not describe the types of its KVM modules: exits "
                              "are read from records, which costs more");
    }
    return ok();
}

KvmFigure KvmCollector::figure(uint32_t slot, uint32_t epoch)
{
    const vt_kvm_key& key = keys_.values()[slot];
    const vt_kvm_stat& now = stats_.values()[slot];
    Before& before = before_[slot];
    const auto since = [&](__u64 vt_kvm_stat::*field) {
        const __u64 value = load_relaxed(now.*field);
        return value - std::exchange(before.stat.*field, value);
    };
    // Exits are counted with their times. Of others, less than before is a count on its way from the vCPU to its
    // figure: the next read has it.
    const uint64_t count = key.kind == VT_KVM_EXIT
                               ? load_relaxed(now.count)
                               : std::max<uint64_t>(counts_[slot], before.stat.count);
    KvmFigure figure{.vm = key.vm,
                     .tid = key.tid,
                     .kind = key.kind,
                     .code = key.code,
                     .isa = key.isa,
                     .flags = key.flags,
                     .count = count - std::exchange(before.stat.count, count),
                     .to_vmm = since(&vt_kvm_stat::to_vmm),
                     .amount = since(&vt_kvm_stat::amount),
                     .parts = {.kernel = since(&vt_kvm_stat::kernel),
                               .vmm = since(&vt_kvm_stat::vmm),
                               .blocked = since(&vt_kvm_stat::blocked),
                               .waited = since(&vt_kvm_stat::waited)},
                     .time = {}};
    HistogramTotals time;
    time.add(now.time);
    figure.time = time.since(before.time);
    before.time = time;
    figure.time.max = max_of(figure.time, max_in(now.time, epoch), max_in(now.time, epoch + 1));
    return figure;
}

void KvmCollector::read_figures(KvmSnapshot& kvm)
{
    uint32_t& counted = (*object_)->data->kvm_epoch;
    const uint32_t epoch = counted;
    __atomic_store_n(&counted, epoch + 1, __ATOMIC_RELEASE);
    for (uint32_t slot = VT_KVM_SLOT_OTHER + 1; slot < counts_.size(); slot++) {
        if (keys_.values()[slot].vm == 0)
            continue; // never taken
        KvmFigure found = figure(slot, epoch);
        if (found.kind == VT_KVM_EVENT && found.code == VT_KVM_ENDED) {
            add_ended(kvm, found);
            continue;
        }
        if (found.count != 0 || !found.time.buckets.empty())
            kvm.figures.push_back(std::move(found));
    }
}

// A vCPU whose thread has ended in this window: what it had since the last read.
void KvmCollector::add_ended(KvmSnapshot& kvm, const KvmFigure& figure)
{
    if (figure.count == 0)
        return;
    KvmVcpu ended{.vm = figure.vm, .tid = figure.tid, .guest_ns = figure.amount};
    const auto last = vcpus_.find(figure.tid);
    if (last != vcpus_.end() && last->second.vm == figure.vm) {
        ended.guest_ns -= std::min(ended.guest_ns, last->second.guest);
        ended.carried = last->second.open;
        vcpus_.erase(last);
    }
    kvm.vcpus.push_back(ended);
}

// What is counted by now, but for what vCPUs keep themselves.
void KvmCollector::read_counts()
{
    for (size_t slot = 0; slot < counts_.size(); slot++)
        counts_[slot] = load_relaxed(stats_.values()[slot].count);
}

void KvmCollector::read_vcpus(KvmSnapshot& kvm)
{
    for (const vt_vcpu& place : places_.values()) {
        if (load_relaxed(place.tid) == 0 || place.excluded != 0)
            continue;
        const vt_vcpu vcpu = place;
        for (const vt_kvm_known& known : vcpu.known) {
            if (known.slot < counts_.size())
                counts_[known.slot] += known.count;
        }
        if (vcpu.tid != 0)
            kvm.vcpus.push_back(vcpu_of(vcpu));
    }
}

KvmVcpu KvmCollector::vcpu_of(const vt_vcpu& vcpu)
{
    const uint64_t now = monotonic_ns();
    const auto ago = [&](uint64_t since) { return since == 0 || since > now ? 0 : now - since; };
    const uint64_t guest = vcpu.guest + ago(vcpu.entered);
    KvmVcpu found{.vm = vcpu.vm, .tid = vcpu.tid, .guest_ns = guest};
    if (vcpu.exited != 0) {
        found.open = OpenExit{.ns = ago(vcpu.exited),
                              .code = vcpu.code,
                              .isa = vcpu.isa,
                              .in_vmm = vcpu.to_user != 0};
    }
    Vcpu& last = vcpus_[vcpu.tid];
    if (last.vm == vcpu.vm) {
        found.guest_ns -= std::min(guest, last.guest);
        found.carried = last.open;
    }
    last = {.vm = vcpu.vm, .guest = guest, .open = found.open};
    return found;
}

void KvmCollector::read_losses(Loss& loss)
{
    const auto* bss = (*object_)->bss;
    const auto since = [&](const __u64& counter, uint64_t Loss::*field) {
        const uint64_t now = load_relaxed(counter);
        loss.*field += now - std::exchange(counted_.*field, now);
    };
    since(bss->kvm_map_full, &Loss::map_full);
    since(bss->kvm_clock_anomaly, &Loss::clock_anomaly);
    std::ranges::copy(missing_, std::back_inserter(loss.fallbacks));
    const auto unknown = [&](const __u64& counter, uint64_t& before, const char* text) {
        const uint64_t now = load_relaxed(counter);
        if (const uint64_t added = now - std::exchange(before, now); added != 0)
            loss.fallbacks.push_back(std::to_string(added) + text);
    };
    unknown(bss->kvm_missed_end, unknown_.ends,
            " exits were counted without their time: their end was not seen");
    unknown(bss->kvm_vcpus_missing, unknown_.vcpus,
            " events of vCPUs that found no room: in no figure");
    unknown(bss->kvm_msi_unknown, unknown_.messages,
            " interrupt messages came from threads of no VM: in no figure");
    unknown(
        bss->kvm_unmap_unknown, unknown_.unmaps,
        " times memory of some guest was reclaimed, or unmapped by threads of no VM: in no figure");
}

void KvmCollector::read(Snapshot& snapshot)
{
    KvmSnapshot& kvm = snapshot.kvm;
    kvm.flavour = flavour_.name;
    kvm.tells_exits = flavour_.tells_exits;
    read_counts(); // first: what goes from a vCPU to its figure meanwhile is missing, not there twice
    read_vcpus(kvm);
    read_figures(kvm);
    read_losses(snapshot.loss);
    free_ended();
}

void KvmCollector::release_vm(uint64_t vm)
{
    ended_.insert(vm);
    free_ended();
}

// A process may close its VM, and its threads live on: they know slots of the VM by heart.
void KvmCollector::free_ended()
{
    std::erase_if(ended_, [&](uint64_t one) {
        const bool goes_on = std::ranges::any_of(places_.values(), [&](const vt_vcpu& place) {
            return load_relaxed(place.tid) != 0 && place.vm == one;
        });
        if (!goes_on)
            free_slots_of(one);
        return !goes_on;
    });
}

void KvmCollector::free_slots_of(uint64_t vm)
{
    const int slot_of = bpf_map__fd((*object_)->maps.kvm_slot_of);
    const int free_slots = bpf_map__fd((*object_)->maps.kvm_free_slots);
    std::erase_if(vcpus_, [&](const auto& vcpu) { return vcpu.second.vm == vm; });
    for (uint32_t slot = VT_KVM_SLOT_OTHER + 1; slot < before_.size(); slot++) {
        const vt_kvm_key key = keys_.values()[slot];
        if (key.vm == vm && bpf_map_delete_elem(slot_of, &key) == 0)
            bpf_map_update_elem(free_slots, nullptr, &slot, BPF_ANY);
    }
}

} // namespace vtrace
