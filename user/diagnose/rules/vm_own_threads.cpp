// SPDX-License-Identifier: GPL-2.0-only
#include "base/printable.h"
#include "diagnose/rules.h"
#include "diagnose/rules/vm_figures.h"
#include "model/report_values.h"

#include <fmt/format.h>

namespace vtrace {
namespace {

Advice advice_for(std::string_view role)
{
    if (role == "iothread")
        return {.text = "Pin the iothread to a CPU that runs none of the VM's vCPUs.",
                .knob = "libvirt's iothreadpin"};
    if (role == "vhost")
        return {.text = "Keep the vhost threads on CPUs without vCPUs; libvirt puts them where the "
                        "emulator is.",
                .knob = "libvirt's emulatorpin, taskset"};
    return {.text = "Pin the VMM's own threads to CPUs that run none of the VM's vCPUs.",
            .knob = "libvirt's emulatorpin"};
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("vcpu");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const VcpuWaits waits = waits_of(row);
        const double share = waits.behind_own;
        const auto severity =
            context.severity_for(row.entity, share, milliseconds(share * value_of(row, "lived")));
        if (!severity || waits.role == nullptr)
            continue;
        Finding finding = finding_of_time(context, row, *severity,
                                          "vCPUs waiting behind the VM's other threads", share);
        const std::string role = printable(waits.role->entity.name);
        finding.what =
            fmt::format("vCPUs of {} wait in {} of their time while its own threads, mostly {}, "
                        "have the CPU",
                        printable(row.entity.name), percent(share), role);
        finding.culprit = row.entity;
        finding.culprit->labels.push_back({"role", waits.role->entity.name});
        for (const Row& thread : row.rows) {
            if (thread.entity.kind == "role" && value_of(thread, "ran") > 0)
                finding.evidence.push_back(
                    {.what = fmt::format("{} ran", printable(thread.entity.name)),
                     .value = value_of(thread, "ran"),
                     .unit = FigureUnit::kTime,
                     .against = static_cast<double>(report->duration_ns),
                     .against_what = "window"});
        }
        finding.ruled_out.push_back(
            ruled_out_of("waits behind others, and its own vCPUs", waits.share - waits.behind_own));
        finding.advice.push_back(advice_for(waits.role->entity.name));
        finding.advice.push_back(
            {.text = "Or allow the VM more CPUs than it has vCPUs.", .knob = "cpuset.cpus"});
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule vm_own_threads_rule()
{
    return {.name = "vm-own-threads",
            .summary = "a VM's iothreads, vhost or emulator take its vCPUs' CPU",
            .measure = "share of vCPU time spent waiting while other threads of the VM ran",
            .unit = FigureUnit::kShare,
            .limits = {.p3 = 0.05, .p2 = 0.1, .p1 = 0.3, .p0 = 0.7, .least = 10},
            .source = "as vm-steal, since the guest cannot tell the two apart. Pinning: libvirt's "
                      "domain XML, cputune",
            .tools = {"vcpu"},
            .find = find};
}

} // namespace vtrace
