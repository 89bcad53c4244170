// SPDX-License-Identifier: GPL-2.0-only
#include "tools/kvmio.h"

#include "model/io_names.h"
#include "render/kvm_text.h"
#include "tools/report_parts.h"
#include "tools/vm_rows.h"
#include "vtrace/kvm.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {};
}

struct Accesses {
    uint64_t count = 0;
    uint64_t to_vmm = 0;
    ExitParts parts;
    Histogram time;
};

// VM, whether it is memory-mapped, whether it writes, where.
using Key = std::tuple<uint64_t, bool, bool, uint64_t>;

// A write to a device that never got to the VMM rang for somebody who listens in the kernel: an
// ioeventfd, as virtio's queue notifications are.
std::string device_of(bool mapped, bool writes, uint64_t at, const Accesses& accesses, bool divided)
{
    constexpr uint64_t k4GiB = uint64_t{1} << 32;
    std::string name(mapped ? address_name(at) : port_name(static_cast<uint16_t>(at)));
    const bool of_a_bus = name == kPciDevice || name == kPciOrVirtioMmio || at >= k4GiB;
    if (of_a_bus && writes && divided && accesses.to_vmm == 0 && accesses.time.count() != 0)
        name = "doorbell";
    return name;
}

Row access_row(const Key& key, const Accesses& accesses, bool divided)
{
    const auto& [vm, mapped, writes, at] = key;
    Row row{.entity = {.kind = mapped ? "address" : "port",
                       .name = fmt::format("0x{:0{}x}", at, mapped ? 8 : 4)},
            .histogram = accesses.time};
    row.entity.labels = {{"access", writes ? "write" : "read"}};
    if (std::string device = device_of(mapped, writes, at, accesses, divided); !device.empty())
        row.entity.labels.push_back({"device", std::move(device)});
    add_counter(row, "count", "1", accesses.count);
    if (divided) {
        add_counter(row, "to_vmm", "1", accesses.to_vmm);
        add_parts(row, accesses.parts);
    }
    return row;
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report =
        empty_report(snapshot, "kvmio", "Accesses of guests to ports and device memory");
    report.event = "access";
    report.metric = "time";
    report.nested = "accesses";
    VmRows rows(snapshot, options);
    std::map<Key, Accesses> found;
    for (const KvmFigure& figure : snapshot.kvm.figures) {
        const bool mapped = figure.kind == VT_KVM_MMIO;
        if ((figure.kind != VT_KVM_PIO && !mapped) || !rows.wanted(figure.vm, figure.tid))
            continue;
        const bool writes = (figure.flags & VT_KVM_WRITE) != 0;
        Accesses& accesses = found[{figure.vm, mapped, writes, figure.code}];
        accesses.count += figure.count;
        accesses.to_vmm += figure.to_vmm;
        accesses.parts += figure.parts;
        accesses.time.merge(figure.time);
    }
    const bool divided = snapshot.kvm.tells_exits;
    for (const auto& [key, accesses] : found) {
        Row& row = rows.row(std::get<0>(key));
        add_counter(row, "count", "1", accesses.count);
        add_counter(row, std::get<1>(key) ? "mmio" : "pio", "1", accesses.count);
        row.histogram.merge(accesses.time);
        row.rows.push_back(access_row(key, accesses, divided));
        rows.label(row.rows.back(), std::get<0>(key));
    }
    rows.give_to(report);
    const auto most = [](const Row& row) {
        return std::pair(row.histogram.sum, row.metrics.front().value);
    };
    for (Row& row : report.rows)
        std::ranges::stable_sort(row.rows, std::greater{}, most);
    std::ranges::stable_sort(report.rows, std::greater{}, most);
    if (const std::string missing =
            missing_of_kvm(snapshot.kvm, "how long accesses took, and which went to the VMM");
        !missing.empty())
        report.notes.push_back(missing);
    finish(report, options);
    return report;
}

} // namespace

ToolSpec kvmio_tool()
{
    return {
        .name = "kvmio",
        .summary = "ports and device addresses that guests use",
        .details =
            "Accesses of guests to I/O ports and to memory-mapped devices that KVM or the VMM\n"
            "emulates, by port or guest-physical address. The time is from the exit until the\n"
            "guest is entered again; a string instruction may be one access of many bytes. DEVICE\n"
            "is what a PC usually has there, by a table: the VMM may have put something else.\n"
            "\"doorbell\" is writes to a device of a bus that never went to the VMM: somebody in\n"
            "the kernel listens (ioeventfd), as to virtio's queue notifications, or KVM gathers\n"
            "them (coalesced MMIO).",
        .examples = "  vtrace kvmio 5 1                     each VM, for 5 s\n"
                    "  vtrace kvmio --vm=web-1 1            one VM, each second\n"
                    "  vtrace kvmio --format json 5 1 | jq '.rows[0].accesses[0].entity'\n",
        .parts = parts,
        .build = build,
        .text = kvmio_text,
        .kvm = {.accesses = true, .threads = true},
        .group = "vm",
        .vcpus = true,
        .without_tasks = kVmsInstead,
    };
}

} // namespace vtrace
