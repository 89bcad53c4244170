// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/rules/vm_figures.h"

#include "base/numbers.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>

namespace vtrace {

uint64_t milliseconds(double ns)
{
    constexpr double kNsPerMs = 1e6;
    return whole_number(ns / kNsPerMs);
}

Finding finding_of_time(const Context& context, const Row& vcpu, Severity severity,
                        const std::string& what, double share)
{
    const Report& report = *context.facts.report("vcpu");
    Finding finding = context.finding(
        vcpu.entity, severity, {.what = what, .value = share, .unit = FigureUnit::kShare}, report);
    finding.confidence =
        confidence_of(milliseconds(share * value_of(vcpu, "lived")), lost_events(report.loss));
    return finding;
}

const Row* vcpu_row(const Facts& facts, const Entity& vm)
{
    const Report* report = facts.report("vcpu");
    const Row* row = report == nullptr ? nullptr : find_row(report->rows, key_of(vm));
    return row != nullptr && value_of(*row, "lived") > 0 ? row : nullptr;
}

namespace {

// How long its vCPUs were on CPUs.
double vcpu_ran(const Row& vcpu)
{
    return value_of(vcpu, "guest") + value_of(vcpu, "exits") + value_of(vcpu, "vmm") +
           value_of(vcpu, "polled");
}

} // namespace

VcpuWaits waits_of(const Row& vcpu)
{
    VcpuWaits waits{.share = value_of(vcpu, "waited_share")};
    double held = 0;
    double self = 0;
    double nobody = 0;
    double ran = 0;
    for (const Row& row : vcpu.rows) {
        if (row.entity.kind == "role") {
            ran += value_of(row, "ran");
            if (waits.role == nullptr || value_of(row, "ran") > value_of(*waits.role, "ran"))
                waits.role = &row;
        }
        // A throttled vCPU has a state of its own.
        if (label_of(row, "role") != "culprit" || row.entity.name == kThrottled)
            continue;
        const double ns = value_of(row, "held");
        held += ns;
        if (row.entity.kind == "part" &&
            (row.entity.name == kIdle || row.entity.name == kIrq || row.entity.name == kSteal ||
             row.entity.name == kForcedIdle))
            nobody += ns;
        const bool own = key_of(row.entity) == key_of(vcpu.entity);
        if (own || (row.entity.kind == "part" && row.entity.name == kSelf))
            self += ns;
        else if (row.entity.kind != "part" && row.entity.kind != "other" &&
                 (waits.culprit == nullptr || ns > value_of(*waits.culprit, "held")))
            waits.culprit = &row;
    }
    if (held == 0)
        return waits;
    waits.behind_nobody = waits.share * nobody / held;
    // A vCPU does not wait behind itself.
    const double vcpus = std::max(1.0, value_of(vcpu, "vcpus"));
    const double of_vcpus = vcpu_ran(vcpu) * (vcpus - 1) / vcpus;
    const double behind_self = waits.share * self / held;
    waits.behind_own = ran > 0 ? behind_self * ran / (ran + of_vcpus) : 0;
    waits.behind_vcpus = behind_self - waits.behind_own;
    if (waits.culprit != nullptr)
        waits.behind_culprit = waits.share * value_of(*waits.culprit, "held") / held;
    return waits;
}

VcpuCost sum_of(const VcpuCosts& costs)
{
    VcpuCost sum;
    for (const auto& [name, cost] : costs)
        sum += cost;
    return sum;
}

const VcpuCosts::value_type& costliest(const VcpuCosts& costs)
{
    return *std::ranges::max_element(costs, {}, [](const auto& named) { return named.second.ns; });
}

VcpuCost vmm_accesses(const Row& access)
{
    const uint64_t count = count_of(access, "to_vmm");
    return {.count = count,
            .ns = count == 0 ? 0 : value_of(access, "kernel") + value_of(access, "vmm")};
}

std::string ruled_out_of(const std::string& what, double share)
{
    return fmt::format("{}: {} of its vCPUs' time", what, percent(share));
}

} // namespace vtrace
