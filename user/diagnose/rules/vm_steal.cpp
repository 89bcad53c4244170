// SPDX-License-Identifier: GPL-2.0-only
#include "base/printable.h"
#include "diagnose/rules.h"
#include "diagnose/rules/vm_figures.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>

namespace vtrace {
namespace {

constexpr double kSmall = 0.01; // of vCPU time: no cause of anything

void add_advice(Finding& finding, bool by_itself)
{
    if (by_itself) {
        finding.advice.push_back(
            {.text = "It has more busy vCPUs than CPUs to run on: allow it more CPUs, or give it "
                     "fewer vCPUs.",
             .knob = "cpuset.cpus, libvirt's vcpupin"});
        return;
    }
    finding.advice.push_back(
        {.text = "Give the vCPUs CPUs of their own: pin them, and keep others off these.",
         .knob = "cpuset.cpus, libvirt's vcpupin"});
    finding.advice.push_back(
        {.text = "Or give the VM more weight than whoever it competes with; that helps only where "
                 "it does not use more than its part already.",
         .knob = "cpu.weight (v2), cpu.shares (v1)"});
}

void add_evidence(Finding& finding, const Row& row, const VcpuWaits& waits)
{
    const auto share = [&](std::string what, double value) {
        finding.evidence.push_back(
            {.what = std::move(what), .value = value, .unit = FigureUnit::kShare});
    };
    const Row* worst = nullptr;
    for (const Row& vcpu : row.rows) {
        if (vcpu.entity.kind == "vcpu" &&
            (worst == nullptr || value_of(vcpu, "waited_share") > value_of(*worst, "waited_share")))
            worst = &vcpu;
    }
    if (worst != nullptr)
        share(fmt::format("{}, which waits the most", printable(worst->entity.name)),
              value_of(*worst, "waited_share"));
    if (waits.culprit != nullptr)
        share(fmt::format("behind {}", printable(waits.culprit->entity.name)),
              waits.behind_culprit);
    if (waits.behind_vcpus > 0)
        share("behind other vCPUs of its own", waits.behind_vcpus);
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("vcpu");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const VcpuWaits waits = waits_of(row);
        const double share = waits.share - waits.behind_own - waits.behind_nobody;
        const auto severity =
            context.severity_for(row.entity, share, milliseconds(share * value_of(row, "lived")));
        if (!severity)
            continue;
        Finding finding =
            finding_of_time(context, row, *severity, "vCPUs able to run, without a CPU", share);
        const bool by_itself = waits.behind_vcpus > 0 && waits.behind_vcpus > waits.behind_culprit;
        std::string behind;
        if (by_itself) {
            finding.culprit = row.entity;
            behind = ", mostly behind each other";
        } else if (waits.culprit != nullptr) {
            finding.culprit = waits.culprit->entity;
            finding.culprit->labels.clear(); // what it is there for
            behind = fmt::format(", mostly behind {}", printable(waits.culprit->entity.name));
        }
        finding.what = fmt::format("vCPUs of {} wait for a CPU in {} of their time{}",
                                   printable(row.entity.name), percent(share), behind);
        add_evidence(finding, row, waits);
        for (const auto& [what, other] :
             {std::pair("its own quota", value_of(row, "throttled_share")),
              std::pair("its own iothreads, vhost and emulator threads", waits.behind_own),
              std::pair("interrupts, and a hypervisor above", value_of(row, "stolen_share"))}) {
            if (other < kSmall)
                finding.ruled_out.push_back(ruled_out_of(what, other));
        }
        add_advice(finding, by_itself);
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule vm_steal_rule()
{
    return {.name = "vm-steal",
            .summary = "vCPUs wait for a CPU behind others",
            .measure = "share of vCPU time spent able to run, without a CPU that others had",
            .unit = FigureUnit::kShare,
            .limits = {.p3 = 0.05, .p2 = 0.1, .p1 = 0.3, .p0 = 0.7, .least = 10},
            .source =
                "P2: HostCpuStealNoisyNeighbor of samber/awesome-prometheus-alerts warns from "
                "10 % of steal; the others are own choice: half of that, about a third and "
                "more than two thirds of the time",
            .tools = {"vcpu"},
            .find = find};
}

} // namespace vtrace
