// SPDX-License-Identifier: GPL-2.0-only
#include "base/numbers.h"
#include "base/printable.h"
#include "diagnose/rules.h"
#include "diagnose/rules/vm_figures.h"
#include "model/report_values.h"

#include <fmt/format.h>

namespace vtrace {
namespace {

constexpr std::string_view kKnob = "/sys/module/kvm/parameters/halt_poll_ns";

Advice advice_for(const std::string& present, Severity severity)
{
    constexpr uint64_t kFirstStep = 10'000; // halt_poll_ns_grow_start: KVM polls for no less
    const uint64_t now = whole_number(present).value_or(0);
    Advice advice{.text = "Let KVM poll for less time before it puts a vCPU to sleep; wake-ups "
                          "then take some microseconds longer.",
                  .knob = std::string(kKnob),
                  .present = present};
    if (present == "0") {
        advice.text = "The host's setting is 0: the VMM asks for polling itself "
                      "(KVM_CAP_HALT_POLL). Take it back there.";
        return advice;
    }
    // Where most of it is in vain, a bit less is, too.
    const bool off = severity <= Severity::kP1 || (now != 0 && now / 2 < kFirstStep);
    if (off)
        advice.suggested = "0";
    else if (now != 0)
        advice.suggested = std::to_string(now / 2);
    return advice;
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("vcpu");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const double share = value_of(row, "poll_wasted_share");
        const auto severity =
            context.severity_for(row.entity, share, milliseconds(share * value_of(row, "lived")));
        if (!severity)
            continue;
        Finding finding =
            finding_of_time(context, row, *severity, "vCPU time that KVM polled in vain", share);
        finding.what = fmt::format("KVM keeps CPUs busy for {} in {} of its vCPUs' time, waiting "
                                   "for interrupts that do not come",
                                   printable(row.entity.name), percent(share));
        finding.evidence.push_back({.what = "polled with success",
                                    .value = value_of(row, "polled_share"),
                                    .unit = FigureUnit::kShare});
        finding.evidence.push_back({.what = "in the guest",
                                    .value = value_of(row, "guest_share"),
                                    .unit = FigureUnit::kShare});
        finding.ruled_out.push_back(
            ruled_out_of("exits other than halts",
                         value_of(row, "exits_share") - value_of(row, "exits_idle_share")));
        finding.advice.push_back(advice_for(context.facts.knob(kKnob), *severity));
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule vm_halt_poll_rule()
{
    return {.name = "vm-halt-poll",
            .summary = "KVM polls for interrupts in vain",
            .measure = "share of vCPU time that KVM polled, and then put the vCPU to sleep",
            .unit = FigureUnit::kShare,
            .limits = {.p3 = 0.05, .p2 = 0.2, .p1 = 0.5, .p0 = 0.9, .least = 10},
            .source = "own choice, because it is the host that loses the CPU and not the VM: twice "
                      "vm-steal's. What is counted: Documentation/virt/kvm/halt-polling.rst",
            .tools = {"vcpu"},
            .find = find};
}

} // namespace vtrace
