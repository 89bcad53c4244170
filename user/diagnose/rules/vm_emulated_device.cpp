// SPDX-License-Identifier: GPL-2.0-only
#include "base/printable.h"
#include "diagnose/rules.h"
#include "diagnose/rules/vm_figures.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace vtrace {
namespace {

struct DeviceAdvice {
    std::string_view begins; // the name of the device (model/io_names.cpp)
    std::string_view text;
    std::string_view knob;
};

constexpr auto kAdvice = std::to_array<DeviceAdvice>({
    {"IDE", "Give the guest its disk by virtio.", "the VM's disks: virtio-blk or virtio-scsi"},
    {"serial", "Write less to the serial port, or use a virtio console.",
     "guest: console=, loglevel=; the VM's devices: virtio-serial"},
    {"debug console", "Switch the firmware's debug messages off.", "QEMU: -device isa-debugcon"},
    {"VGA", "Use virtio-gpu, or no graphics at all.", "the VM's devices: virtio-gpu"},
    {"HPET", "Read time by kvm-clock or the TSC.", "guest: clocksource=kvm-clock"},
    {"ACPI PM timer", "Read time by kvm-clock or the TSC.", "guest: clocksource=kvm-clock"},
    {"PIT", "Let KVM be the interrupt controller and the timer.",
     "QEMU: -machine kernel_irqchip=on"},
    {"PIC", "Let KVM be the interrupt controller.", "QEMU: -machine kernel_irqchip=on"},
    {"local APIC", "Let KVM be the interrupt controller.", "QEMU: -machine kernel_irqchip=on"},
    {"IOAPIC", "Use interrupts by message (MSI), or let KVM be the interrupt controller.",
     "QEMU: -machine kernel_irqchip=on"},
    {"POST", "Old drivers delay by port 0x80: switch that off.", "guest: io_delay=none"},
});

DeviceAdvice advice_for(std::string_view device)
{
    const auto* const found = std::ranges::find_if(
        kAdvice, [&](const DeviceAdvice& advice) { return device.starts_with(advice.begins); });
    if (found != kAdvice.end())
        return *found;
    return {"",
            "Let the guest use virtio for it, with vhost or at least an ioeventfd: then its "
            "notifications do not go to the VMM.",
            "the VM's devices: virtio, vhost=on"};
}

VcpuCosts by_device(const Row& row)
{
    VcpuCosts devices;
    for (const Row& access : row.rows) {
        const VcpuCost accesses = vmm_accesses(access);
        if (accesses.count == 0)
            continue;
        const std::string_view name = label_of(access, "device");
        devices[name.empty() ? access.entity.kind + ' ' + access.entity.name : std::string(name)] +=
            accesses;
    }
    return devices;
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("kvmio");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const Row* vcpu = vcpu_row(context.facts, row.entity);
        if (vcpu == nullptr)
            continue;
        const VcpuCosts devices = by_device(row);
        const VcpuCost all = sum_of(devices);
        const double share = std::min(1.0, all.ns / value_of(*vcpu, "lived"));
        const auto severity = context.severity_for(row.entity, share, all.count);
        if (!severity)
            continue;
        const auto& [name, most] = costliest(devices);
        Finding finding =
            context.finding(row.entity, *severity,
                            {.what = "vCPU time that accesses which went to the VMM took",
                             .value = share,
                             .unit = FigureUnit::kShare,
                             .samples = all.count},
                            *report);
        finding.what = fmt::format("{} uses a device that its VMM emulates, {}, {:.0f} times a "
                                   "second",
                                   printable(row.entity.name), printable(name),
                                   static_cast<double>(most.count) / seconds_of(*report));
        finding.evidence.push_back({.what = "such accesses",
                                    .value = static_cast<double>(all.count) / seconds_of(*report),
                                    .unit = FigureUnit::kRate,
                                    .samples = all.count});
        finding.evidence.push_back({.what = fmt::format("time of those to {}", printable(name)),
                                    .value = most.ns,
                                    .unit = FigureUnit::kTime,
                                    .samples = most.count});
        const uint64_t accesses = count_of(row, "count");
        finding.ruled_out.push_back(fmt::format("accesses that KVM handled itself: {}, not in it",
                                                accesses - std::min(accesses, all.count)));
        const DeviceAdvice advice = advice_for(name);
        finding.advice.push_back(
            {.text = std::string(advice.text), .knob = std::string(advice.knob)});
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule vm_emulated_device_rule()
{
    return {.name = "vm-emulated-device",
            .summary = "a guest uses devices that the VMM emulates",
            .measure = "share of vCPU time that accesses took which went to the VMM, waits apart",
            .unit = FigureUnit::kShare,
            .limits = {.p3 = 0.02, .p2 = 0.05, .p1 = 0.2, .p0 = 0.5, .least = 1'000},
            .source =
                "own choice, below vm-exits' limits, because these exits can be avoided. An exit "
                "costs more than its own 2,000 cycles, at times ten times that: SplitX "
                "(Landau et al., WIOV 2011)",
            .tools = {"kvmio", "vcpu"},
            .find = find};
}

} // namespace vtrace
