// SPDX-License-Identifier: GPL-2.0-only
#include "tools/kvmmem.h"

#include "model/exit_reasons.h"
#include "render/kvm_text.h"
#include "tools/report_parts.h"
#include "tools/vm_rows.h"
#include "vtrace/kvm.h"

#include <algorithm>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {};
}

void add_exit(Row& row, const KvmFigure& figure)
{
    const ExitClass kind = reason_of_exit(figure).kind;
    if (kind == ExitClass::kDirtyLog) {
        add_counter(row, "dirty_log_full", "1", figure.count);
    } else if (kind == ExitClass::kMemoryFault) {
        row.histogram.merge(figure.time);
        add_counter(row, "faults", "1", figure.count);
        add_parts(row, figure.parts);
    }
}

void add_figure(Row& row, const KvmFigure& figure)
{
    switch (figure.kind) {
    case VT_KVM_EXIT: add_exit(row, figure); break;
    case VT_KVM_UNMAP:
        add_counter(row, "unmaps", "1", figure.count);
        add_counter(row, "unmapped", "bytes", figure.amount);
        break;
    default: break;
    }
}

void add_memory(Row& row, const KvmMemory& memory)
{
    const auto gauge = [&](std::string_view name, uint64_t bytes) {
        add_counter(row, name, "bytes", bytes); // of all VMs of the row
        std::ranges::find(row.metrics, name, &Metric::name)->type = Metric::Type::kGauge;
    };
    gauge("resident", memory.rss_bytes);
    gauge("swapped", memory.swapped_bytes);
    if (memory.shared_bytes)
        gauge("ksm_shared", *memory.shared_bytes);
    add_counter(row, "host_minor_faults", "1", memory.minor_faults);
    add_counter(row, "host_major_faults", "1", memory.major_faults);
    if (memory.reclaimed_bytes)
        add_counter(row, "cgroup_reclaimed", "bytes", *memory.reclaimed_bytes);
    if (memory.stalled_ns)
        add_counter(row, "cgroup_stalled", "ns", *memory.stalled_ns);
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "kvmmem", "What memory costs guests");
    report.event = "fault";
    report.metric = "fault_time";
    VmRows rows(snapshot, options);
    for (const KvmMemory& memory : snapshot.kvm.memory) {
        Row& row = rows.row(memory.vm);
        add_memory(row, memory);
        if (snapshot.kvm.tells_exits)
            add_counter(row, "faults", "1", 0);
    }
    for (const KvmFigure& figure : snapshot.kvm.figures) {
        if (figure.kind != VT_KVM_UNMAP && !rows.wanted(figure.vm, figure.tid))
            continue;
        add_figure(rows.row(figure.vm), figure);
    }
    rows.give_to(report);
    std::ranges::stable_sort(report.rows, std::greater{}, [](const Row& row) {
        const auto faults = std::ranges::find(row.metrics, "faults", &Metric::name);
        return std::pair(row.histogram.sum, faults == row.metrics.end() ? 0 : faults->value);
    });
    if (const std::string missing =
            missing_of_kvm(snapshot.kvm, "faults of the second level with their times, and dirty "
                                         "logging by hardware");
        !missing.empty())
        report.notes.push_back(missing);
    finish(report, options);
    return report;
}

} // namespace

ToolSpec kvmmem_tool()
{
    return {
        .name = "kvmmem",
        .summary = "faults of guests' memory, and what the host takes",
        .details =
            "FAULTS are accesses of the guest that its second-level page tables did not allow\n"
            "(EPT, NPT; not yet there, or write-protected for dirty logging), without those to\n"
            "devices; their time is until the guest is entered again. UNMAPPED is addresses that\n"
            "threads of the VMM took out of the guest's reach (a balloon, discards, an munmap of\n"
            "its own); what reclaim takes is of no VM here: the ledger counts it. HOST is faults\n"
            "of the VMM's process, major ones read from a disk or swap. RESIDENT, SWAP and KSM\n"
            "(merged with equal pages) are as the window ends. Below a VM: what was reclaimed\n"
            "from its cgroup as a whole, and for how long some task of it waited for memory\n"
            "(cgroup v2 only).",
        .examples = "  vtrace kvmmem 5 1                    each VM, for 5 s\n"
                    "  vtrace kvmmem --vm=web-1 1           one VM, each second\n"
                    "  vtrace kvmmem --format json 5 1 | jq '.rows[0].metrics.swapped.value'\n",
        .parts = parts,
        .build = build,
        .text = kvmmem_text,
        .kvm = {.memory = true},
        .group = "vm",
        .only_vms = true,
        .without_tasks = kVmsInstead,
    };
}

} // namespace vtrace
