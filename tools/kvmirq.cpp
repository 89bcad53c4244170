// SPDX-License-Identifier: GPL-2.0-only
#include "tools/kvmirq.h"

#include "render/kvm_text.h"
#include "tools/report_parts.h"
#include "tools/vm_rows.h"
#include "vtrace/kvm.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {};
}

Row vector_row(const VmRows& rows, const KvmFigure& figure)
{
    const bool injected = figure.kind == VT_KVM_VECTOR;
    Row row{.entity = {.kind = "vector", .name = fmt::format("0x{:02x}", figure.code)},
            .histogram = figure.time};
    row.entity.labels = {{"event", injected ? "injected" : "message"}};
    if (injected) {
        row.entity.tid = figure.tid;
        row.entity.labels.push_back({"vcpu", rows.role(figure.vm, figure.tid)});
    }
    add_counter(row, "count", "1", figure.count);
    return row;
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "kvmirq", "Interrupts of guests");
    report.event = "interrupt";
    report.metric = "latency";
    report.nested = "vectors";
    VmRows rows(snapshot, options);
    for (const KvmFigure& figure : snapshot.kvm.figures) {
        const bool injected = figure.kind == VT_KVM_VECTOR;
        if (injected ? !rows.wanted(figure.vm, figure.tid)
                     : figure.kind != VT_KVM_MSI || options.vcpu.has_value())
            continue;
        Row& row = rows.row(figure.vm);
        add_counter(row, "injected", "1", injected ? figure.count : 0);
        add_counter(row, "messages", "1", injected ? 0 : figure.count);
        row.histogram.merge(figure.time);
        row.rows.push_back(vector_row(rows, figure));
        rows.label(row.rows.back(), figure.vm);
    }
    rows.give_to(report);
    const auto count = [](const Row& row) { return row.metrics.front().value; };
    for (Row& row : report.rows)
        std::ranges::stable_sort(row.rows, std::greater{}, count);
    std::ranges::stable_sort(report.rows, std::greater{}, count);
    if (const std::string missing = missing_of_kvm(
            snapshot.kvm, "interrupts as they are injected (no kvm_inj_virq), and their latency");
        !missing.empty())
        report.notes.push_back(missing);
    finish(report, options);
    return report;
}

} // namespace

ToolSpec kvmirq_tool()
{
    return {
        .name = "kvmirq",
        .summary = "which interrupts guests get, and how late",
        .details =
            "Interrupts that KVM injects into vCPUs, by vector, and the messages (MSI) that ask\n"
            "for interrupts, by the vector in them. The latency is known of those that a message\n"
            "asked for: from the message to the entry of the guest that takes it, the time that\n"
            "the vCPU slept or waited for a CPU included. Messages with one vector to several\n"
            "vCPUs at once are taken for one. Interrupts that the hardware posts to a running\n"
            "guest (AVIC, APICv) are seen by nobody on the host. A message is of the VM whose\n"
            "thread sends it: one from an interrupt (a device passed through) of the VM that it\n"
            "interrupted; with a split irqchip, looks at its routes count, too.",
        .examples = "  vtrace kvmirq 5 1                    each VM, for 5 s\n"
                    "  vtrace kvmirq --vm=web-1 --vcpu 0 1  one vCPU, each second\n"
                    "  vtrace kvmirq --format json 5 1 | jq '.rows[0].metrics.latency.p99'\n",
        .parts = parts,
        .build = build,
        .text = kvmirq_text,
        .kvm = {.interrupts = true, .threads = true},
        .group = "vm",
        .vcpus = true,
        .without_tasks = kVmsInstead,
    };
}

} // namespace vtrace
