// SPDX-License-Identifier: GPL-2.0-only
#include "base/printable.h"
#include "diagnose/rules.h"
#include "diagnose/rules/vm_figures.h"
#include "model/exit_reasons.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>

namespace vtrace {
namespace {

constexpr double kNsPerSecond = 1e9;
// What the guest would poll for at most before it halts: the default of guest_halt_poll_ns.
constexpr uint64_t kShortNs = 200'000;
// What going to sleep and waking up costs beside the sleep: "a few microseconds" (halt-polling.rst).
constexpr double kCostNs = 5'000;

Histogram halts_of(const Row& row)
{
    Histogram halts;
    for (const Row& exit : row.rows) {
        if (label_of(exit, "exit_class") == exit_class_name(ExitClass::kHalt))
            halts.merge(exit.histogram);
    }
    return halts;
}

uint64_t short_ones(const Histogram& halts)
{
    uint64_t count = 0;
    for (const BucketCount& bucket : halts.buckets) {
        if (bucket_range(bucket.index).high <= kShortNs)
            count += bucket.count;
    }
    return count;
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("kvmexit");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const Row* vcpu = vcpu_row(context.facts, row.entity);
        if (vcpu == nullptr)
            continue;
        const double seconds = value_of(*vcpu, "lived") / kNsPerSecond;
        const Histogram halts = halts_of(row);
        const uint64_t count = short_ones(halts);
        const double rate = static_cast<double>(count) / seconds;
        const auto severity = context.severity_for(row.entity, rate, count);
        if (!severity)
            continue;
        Finding finding = context.finding(row.entity, *severity,
                                          {.what = "halts below 200 us, in a second of vCPU time",
                                           .value = rate,
                                           .unit = FigureUnit::kRate,
                                           .samples = count},
                                          *report);
        finding.impact = std::min(1.0, rate * kCostNs / kNsPerSecond);
        finding.what = fmt::format("vCPUs of {} halt {:.0f} times a second each for less than "
                                   "200 us, and are woken at once",
                                   printable(row.entity.name), rate);
        finding.evidence.push_back({.what = "half of all halts are shorter than",
                                    .value = static_cast<double>(halts.quantile(0.5)),
                                    .unit = FigureUnit::kTime,
                                    .samples = halts.count()});
        finding.evidence.push_back(
            {.what = "vCPU time that KVM polled instead of sleeping",
             .value = value_of(*vcpu, "polled_share") + value_of(*vcpu, "poll_wasted_share"),
             .unit = FigureUnit::kShare});
        finding.ruled_out.push_back(
            ruled_out_of("waits for a CPU after the wake-up", value_of(*vcpu, "waited_share")));
        finding.advice.push_back(
            {.text = "Let the guest poll for a moment before it halts (the cpuidle driver "
                     "haltpoll): no exit, and no interrupt to wake it.",
             .knob = "guest: /sys/module/haltpoll/parameters/guest_halt_poll_ns",
             .suggested = std::to_string(kShortNs)});
        finding.advice.push_back(
            {.text = "Where the CPUs are the VM's alone, let it idle without exits; the host then "
                     "sees these CPUs busy all the time.",
             .knob = "guest: idle=poll; QEMU: -overcommit cpu-pm=on"});
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule vm_halts_rule()
{
    return {.name = "vm-halts",
            .summary = "vCPUs halt and wake very often",
            .measure = "halts below 200 us, in a second of vCPU time",
            .unit = FigureUnit::kRate,
            .limits = {.p3 = 5'000, .p2 = 20'000, .p1 = 60'000, .p0 = 140'000, .least = 1'000},
            .source = "own choice: at 5 us each (Documentation/virt/kvm/halt-polling.rst has a few "
                      "microseconds) P2 is 10 % of a CPU, P1 30 % and P0 70 %, as in vm-steal. "
                      "200 us: Documentation/virt/guest-halt-polling.rst",
            .tools = {"kvmexit", "vcpu"},
            .find = find};
}

} // namespace vtrace
