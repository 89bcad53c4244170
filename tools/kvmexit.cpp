// SPDX-License-Identifier: GPL-2.0-only
#include "tools/kvmexit.h"

#include "model/exit_reasons.h"
#include "render/kvm_text.h"
#include "tools/report_parts.h"
#include "tools/vm_rows.h"
#include "vtrace/kvm.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {};
}

// What KVM tells of where there is no kvm_exit.
ExitReason reason_of_event(const KvmFigure& figure)
{
    switch (figure.kind) {
    case VT_KVM_PIO: return {.name = "pio", .kind = ExitClass::kPio};
    case VT_KVM_MMIO: return {.name = "mmio", .kind = ExitClass::kMmio};
    case VT_KVM_USER: {
        ExitReason reason = exit_reason(VT_KVM_TO_USER, figure.code);
        reason.name = "to VMM: " + reason.name;
        return reason;
    }
    default: break;
    }
    switch (figure.code) {
    case VT_KVM_CPUID: return {.name = "cpuid", .kind = ExitClass::kCpuid};
    case VT_KVM_MSR: return {.name = "msr", .kind = ExitClass::kMsr};
    case VT_KVM_EMULATION: return {.name = "emulated", .kind = ExitClass::kEmulation};
    case VT_KVM_HYPERCALL: return {.name = "hypercall", .kind = ExitClass::kHypercall};
    case VT_KVM_HALT_POLLED: return {.name = "halt, polled", .kind = ExitClass::kHalt};
    default: return {.name = "halt, slept", .kind = ExitClass::kHalt};
    }
}

bool tells_of_exits(const KvmFigure& figure, bool tells_exits)
{
    if (tells_exits)
        return figure.kind == VT_KVM_EXIT;
    switch (figure.kind) {
    case VT_KVM_USER:
    case VT_KVM_PIO:
    case VT_KVM_MMIO: return true;
    case VT_KVM_EVENT: return figure.code != VT_KVM_ENDED;
    default: return false;
    }
}

// Of one vCPU for one reason.
struct Exits {
    ExitReason reason;
    uint64_t count = 0;
    uint64_t to_vmm = 0;
    ExitParts parts;
    Histogram time;

    void add(const KvmFigure& figure)
    {
        count += figure.count;
        to_vmm += figure.kind == VT_KVM_USER ? figure.count : figure.to_vmm;
        parts += figure.parts;
        time.merge(figure.time);
    }
};

// Halting is no cost: it comes last. Then who took most of the time, or was most often.
auto rank(const Row& row)
{
    const bool halt = row.entity.labels.back().name == exit_class_name(ExitClass::kHalt);
    return std::tuple(!halt, row.histogram.sum, row.metrics.front().value);
}

Row exit_row(const Exits& exits, const std::string& role, uint32_t tid, bool divided)
{
    Row row{.entity = {.kind = "exit", .name = exits.reason.name}, .histogram = exits.time};
    row.entity.tid = tid;
    row.entity.labels = {{"vcpu", role},
                         {"exit_class", std::string(exit_class_name(exits.reason.kind))}};
    add_counter(row, "count", "1", exits.count);
    if (divided) {
        add_counter(row, "to_vmm", "1", exits.to_vmm);
        add_parts(row, exits.parts);
    }
    return row;
}

// What a VM's vCPUs did in sum: its own row.
void add_whole(Row& row, const std::vector<Exits>& all, uint64_t guest_ns, bool divided)
{
    uint64_t halts = 0, halted = 0, count = 0, to_vmm = 0;
    ExitParts sum;
    for (const Exits& exits : all) {
        if (exits.reason.kind == ExitClass::kHalt) {
            halts += exits.count;
            halted += exits.time.sum;
            continue;
        }
        count += exits.count;
        to_vmm += exits.to_vmm;
        sum += exits.parts;
        row.histogram.merge(exits.time);
    }
    add_counter(row, "count", "1", count);
    add_counter(row, "halts", "1", halts);
    add_counter(row, "to_vmm", "1", to_vmm);
    if (!divided)
        return;
    add_parts(row, sum);
    add_counter(row, "halted", "ns", halted);
    add_counter(row, "guest", "ns", guest_ns);
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "kvmexit", "Exits of vCPUs from their guests");
    report.event = "exit";
    report.metric = "time";
    report.nested = "exits";
    const KvmSnapshot& kvm = snapshot.kvm;
    VmRows rows(snapshot, options);
    using Key = std::tuple<uint64_t, uint32_t, std::string>; // VM, vCPU, reason
    std::map<Key, Exits> found;
    for (const KvmFigure& figure : kvm.figures) {
        if (!tells_of_exits(figure, kvm.tells_exits) || !rows.wanted(figure.vm, figure.tid))
            continue;
        ExitReason reason =
            figure.kind == VT_KVM_EXIT ? reason_of_exit(figure) : reason_of_event(figure);
        Exits& exits = found[{figure.vm, figure.tid, reason.name}];
        exits.reason = std::move(reason);
        exits.add(figure);
    }
    std::map<uint64_t, std::vector<std::pair<uint32_t, Exits>>> by_vm;
    for (auto& [key, exits] : found)
        by_vm[std::get<0>(key)].emplace_back(std::get<1>(key), std::move(exits));
    for (auto& [vm, all] : by_vm) {
        Row& row = rows.row(vm);
        std::vector<Exits> plain;
        for (const auto& [tid, exits] : all) {
            row.rows.push_back(exit_row(exits, rows.role(vm, tid), tid, kvm.tells_exits));
            rows.label(row.rows.back(), vm);
            plain.push_back(exits);
        }
        uint64_t guest = 0;
        for (const KvmVcpu& vcpu : kvm.vcpus) {
            if (vcpu.vm == vm && rows.wanted(vm, vcpu.tid))
                guest += vcpu.guest_ns;
        }
        add_whole(row, plain, guest, kvm.tells_exits);
    }
    rows.give_to(report);
    for (Row& row : report.rows)
        std::ranges::stable_sort(row.rows, std::greater{}, rank);
    std::ranges::stable_sort(report.rows, std::greater{}, [](const Row& row) {
        return std::pair(row.histogram.sum, row.metrics.front().value);
    });
    const std::string missing = missing_of_kvm(
        kvm,
        "reasons of exits, how long they took and where. Shown is how often the guest left for "
        "the VMM, and what KVM did itself; the one may be part of the other");
    if (!missing.empty())
        report.notes.push_back(missing);
    finish(report, options);
    return report;
}

} // namespace

ToolSpec kvmexit_tool()
{
    return {
        .name = "kvmexit",
        .summary = "why vCPUs leave their guests, and what it costs",
        .details =
            "Each exit of a vCPU from its guest, until the guest is entered again, by reason. Its\n"
            "time is divided: KERNEL is work of KVM on a CPU, polling among it; VMM is from the\n"
            "exit to the VMM's process until the guest is entered again, its sleep included;\n"
            "BLOCKED is sleep in the kernel; WAITED is for a CPU. Halts (HLT, WFI) are no cost of\n"
            "virtualisation: they come last, and are in no sum. An exit counts when it ends.\n"
            "Reasons are named as the kernel's tracepoint does; an access that KVM emulates as\n"
            "memory-mapped I/O has \", mmio\" behind it. Interrupts, and time that a hypervisor\n"
            "above has taken, count as BLOCKED.",
        .examples = "  vtrace kvmexit 5 1                   each VM, for 5 s\n"
                    "  vtrace kvmexit --vm=web-1 --vcpu 0 1 one vCPU, each second\n"
                    "  vtrace kvmexit --pod 5 1             VMs by their pods\n"
                    "  vtrace kvmexit --format json 5 1 | jq '.rows[0].metrics.to_vmm.value'\n",
        .parts = parts,
        .build = build,
        .text = kvmexit_text,
        .kvm = {.exits = true, .threads = true},
        .group = "vm",
        .vcpus = true,
        .without_tasks = kVmsInstead,
    };
}

} // namespace vtrace
