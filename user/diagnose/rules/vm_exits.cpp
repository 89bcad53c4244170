// SPDX-License-Identifier: GPL-2.0-only
#include "base/printable.h"
#include "diagnose/rules.h"
#include "diagnose/rules/vm_figures.h"
#include "model/exit_reasons.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace vtrace {
namespace {

constexpr double kNsPerSecond = 1e9;

struct ClassAdvice {
    ExitClass kind;
    std::string_view text;
    std::string_view knob;
    std::string_view of_amd; // the same of kvm_amd; empty: there is one knob
};

constexpr auto kAdvice = std::to_array<ClassAdvice>({
    {ExitClass::kPio,
     "Ports are emulated: let the guest use virtio instead (`vtrace kvmio` names them).",
     "the VM's devices: virtio"},
    {ExitClass::kMmio,
     "Device memory is emulated: virtio with vhost, or an assigned device, leaves most of it out "
     "(`vtrace kvmio` names the devices).",
     "the VM's devices: virtio, vhost, VFIO"},
    {ExitClass::kApic, "Let the CPU deliver interrupts: AVIC or APICv, and x2APIC in the guest.",
     "/sys/module/kvm_intel/parameters/enable_apicv", "/sys/module/kvm_amd/parameters/avic"},
    {ExitClass::kTimer,
     "The guest sets its timer often: fewer ticks in the guest (nohz, a lower HZ), and posted "
     "interrupts on the host.",
     "guest: nohz; /sys/module/kvm/parameters/pi_inject_timer"},
    {ExitClass::kMsr,
     "Let the guest read time without exits: kvm-clock or the TSC as clocksource; AVIC or APICv "
     "where the MSRs are x2APIC's.",
     "guest: /sys/devices/system/clocksource/clocksource0/current_clocksource"},
    {ExitClass::kMemoryFault,
     "Back the guest's memory by huge pages, and allocate it before it starts.",
     "/sys/kernel/mm/transparent_hugepage/enabled"},
    {ExitClass::kSpin,
     "vCPUs spin for locks whose holders do not run: less overcommitment, or paravirtual "
     "spinlocks in the guest.",
     "/sys/module/kvm_intel/parameters/ple_gap",
     "/sys/module/kvm_amd/parameters/pause_filter_count"},
    {ExitClass::kInterrupt,
     "Interrupts of the host come while the guest runs: bind them to other CPUs.",
     "/proc/irq/*/smp_affinity_list"},
    {ExitClass::kHypercall, "The guest calls the hypervisor often: see which of its features do.",
     ""},
    {ExitClass::kCpuid, "Something in the guest executes CPUID in a loop: it always exits.", ""},
    {ExitClass::kDirtyLog, "Memory that is written is tracked: a migration or a snapshot runs.",
     ""},
    {ExitClass::kNested, "The guest runs VMs itself: each of their exits costs several.", ""},
});

// What an exit takes of its vCPU but for waits, which are steal. What the VMM does when an interrupt kicks a vCPU out is
// no cost of the interrupt: it may be paused.
double cost_of(const Row& exit, std::string_view exit_class)
{
    const bool interrupt = exit_class == exit_class_name(ExitClass::kInterrupt);
    return value_of(exit, "kernel") + value_of(exit, "blocked") +
           (interrupt ? 0 : value_of(exit, "vmm"));
}

// Accesses to devices of the VMM are vm-emulated-device's, which tells the device.
VcpuCost take_out(VcpuCosts& costs, const Row& accesses)
{
    VcpuCost all;
    for (const Row& access : accesses.rows) {
        const ExitClass kind = access.entity.kind == "port" ? ExitClass::kPio : ExitClass::kMmio;
        const auto cost = costs.find(exit_class_name(kind));
        if (cost == costs.end())
            continue;
        const VcpuCost taken = vmm_accesses(access);
        cost->second.count -= std::min(cost->second.count, taken.count);
        cost->second.ns -= std::min(cost->second.ns, taken.ns);
        all += taken;
    }
    return all;
}

VcpuCosts costs_of(const Row& row)
{
    VcpuCosts costs;
    for (const Row& exit : row.rows) {
        const std::string kind(label_of(exit, "exit_class"));
        if (kind == exit_class_name(ExitClass::kHalt))
            continue;
        costs[kind] += {.count = count_of(exit, "count"), .ns = cost_of(exit, kind)};
    }
    return costs;
}

// Of the two modules of KVM a host has one.
void add_advice(const Facts& facts, Finding& finding, std::string_view exit_class)
{
    const auto* const found = std::ranges::find_if(kAdvice, [&](const ClassAdvice& advice) {
        return exit_class_name(advice.kind) == exit_class;
    });
    if (found == kAdvice.end())
        return;
    const bool amd = !found->of_amd.empty() && !facts.knob(found->of_amd).empty();
    const std::string knob(amd ? found->of_amd : found->knob);
    finding.advice.push_back(
        {.text = std::string(found->text), .knob = knob, .present = facts.knob(knob)});
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("kvmexit");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const Row* vcpu = vcpu_row(context.facts, row.entity);
        VcpuCosts costs = costs_of(row);
        if (vcpu == nullptr || costs.empty())
            continue;
        const double lived = value_of(*vcpu, "lived");
        const Report* io = context.facts.report("kvmio");
        const Row* accesses = io == nullptr ? nullptr : find_row(io->rows, key_of(row.entity));
        const VcpuCost elsewhere = accesses == nullptr ? VcpuCost{} : take_out(costs, *accesses);
        const VcpuCost all = sum_of(costs);
        const double share = std::min(1.0, all.ns / lived);
        const auto severity = context.severity_for(row.entity, share, all.count);
        if (!severity)
            continue;
        const auto& [kind, worst] = costliest(costs);
        Finding finding = context.finding(row.entity, *severity,
                                          {.what = "vCPU time that exits took, waits apart",
                                           .value = share,
                                           .unit = FigureUnit::kShare,
                                           .samples = all.count},
                                          *report);
        finding.what = fmt::format("exits take {} of the vCPU time of {}, most of it of class {}",
                                   percent(share), printable(row.entity.name), kind);
        finding.evidence.push_back({.what = "exits in a second of vCPU time",
                                    .value = static_cast<double>(all.count) * kNsPerSecond / lived,
                                    .unit = FigureUnit::kRate,
                                    .samples = all.count});
        finding.evidence.push_back({.what = fmt::format("of them {}", kind),
                                    .value = worst.ns / lived,
                                    .unit = FigureUnit::kShare,
                                    .samples = worst.count});
        finding.ruled_out.push_back(
            ruled_out_of("waits for a CPU, which are not in it", value_of(*vcpu, "waited_share")));
        if (accesses != nullptr)
            finding.ruled_out.push_back(
                ruled_out_of("devices of the VMM, which are not in it", elsewhere.ns / lived));
        add_advice(context.facts, finding, kind);
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule vm_exits_rule()
{
    return {.name = "vm-exits",
            .summary = "exits from the guest take much of its time",
            .measure =
                "share of vCPU time that exits took, but for halts, waits for a CPU and devices "
                "that the VMM emulates",
            .unit = FigureUnit::kShare,
            .limits = {.p3 = 0.1, .p2 = 0.2, .p1 = 0.4, .p0 = 0.7, .least = 1000},
            .source = "P2 and P1: ELI (Gordon et al., ASPLOS 2012) got 1.3 to 1.6 times the "
                      "throughput without such exits, so they had cost about a quarter to 38 %; "
                      "the others are own choice",
            .tools = {"kvmexit", "kvmio", "vcpu"},
            .find = find};
}

} // namespace vtrace
