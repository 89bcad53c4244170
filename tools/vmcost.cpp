// SPDX-License-Identifier: GPL-2.0-only
#include "tools/vmcost.h"

#include "render/kvm_text.h"
#include "tools/report_parts.h"
#include "tools/vcpu_times.h"
#include "tools/vm_rows.h"
#include "vtrace/reason.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {.throttling = true, .states = true, .threads = true};
}

// The parts of the budget that exits are charged to.
struct Budget {
    std::string_view name;
    std::array<ExitClass, 10> classes; // kHalt: none
};

constexpr std::array<Budget, 4> kBudgets = {{
    {"memory", {ExitClass::kMemoryFault, ExitClass::kDirtyLog}},
    {"emulation",
     {ExitClass::kEmulation, ExitClass::kCpuid, ExitClass::kMsr, ExitClass::kHypercall,
      ExitClass::kSpin, ExitClass::kNested, ExitClass::kSev, ExitClass::kOther}},
    {"interrupts", {ExitClass::kInterrupt, ExitClass::kApic, ExitClass::kTimer}},
    {"io", {ExitClass::kPio, ExitClass::kMmio}},
}};

// Of one VM.
struct Cost {
    VcpuTimes times;
    std::array<ExitParts, kExitClasses.size()> exits{};
    std::array<uint64_t, kExitClasses.size()> counts{};
    uint64_t vhost_ns = 0; // its threads ran
    uint64_t vhosts = 0;
    size_t vcpus = 0;
};

void add_vcpu(Cost& cost, const StateTimes& states, const VcpuAccount& account, bool tells_exits)
{
    cost.times += vcpu_times(states, account, tells_exits);
    cost.vcpus++;
    for (size_t i = 0; i < kExitClasses.size(); i++) {
        cost.exits.at(i) += account.exits.at(i);
        cost.counts.at(i) += account.counts.at(i);
    }
}

void add_share(Row& row, std::string_view name, uint64_t ns, uint64_t count, uint64_t lived)
{
    add_counter(row, name, "ns", ns);
    add_counter(row, std::string(name) + "_count", "1", count);
    row.metrics.push_back(
        {.name = std::string(name) + "_share",
         .type = Metric::Type::kShare,
         .unit = "1",
         .value = static_cast<double>(ns) / static_cast<double>(std::max<uint64_t>(lived, 1))});
}

// What an exit takes from its vCPU but for waits, which are steal.
uint64_t cost_of(const ExitParts& parts)
{
    return parts.kernel + parts.vmm + parts.blocked;
}

void fill(Row& row, const Cost& cost, bool tells_exits)
{
    const VcpuTimes& times = cost.times;
    row.metrics.push_back({.name = "vcpus",
                           .type = Metric::Type::kGauge,
                           .unit = "1",
                           .value = static_cast<double>(cost.vcpus)});
    add_counter(row, "lived", "ns", times.lived);
    add_share(row, "guest", times.guest, 0, times.lived);
    const uint64_t halting = times.exits.at(static_cast<size_t>(ExitClass::kHalt));
    add_share(row, "halted", times.halted + times.polled + halting, 0, times.lived);
    const uint64_t steal = times.waited + times.throttled + times.stolen;
    add_share(row, "steal", steal, 0, times.lived);
    uint64_t whole = steal;
    if (tells_exits) {
        for (const Budget& budget : kBudgets) {
            uint64_t ns = 0, count = 0;
            for (const ExitClass kind : budget.classes) {
                if (kind == ExitClass::kHalt)
                    continue;
                const auto i = static_cast<size_t>(kind);
                ns += cost_of(cost.exits.at(i));
                count += cost.counts.at(i);
            }
            add_share(row, budget.name, ns, count, times.lived);
            whole += ns;
        }
        add_share(row, "poll_wasted", times.wasted, 0, times.lived);
        whole += times.wasted;
    } else {
        add_share(row, "exits", times.in_exits(), 0, times.lived);
        add_share(row, "vmm", times.vmm, 0, times.lived);
        whole += times.in_exits() + times.vmm;
    }
    add_share(row, "network", cost.vhost_ns, cost.vhosts, times.lived);
    add_share(row, "overhead", whole, 0, times.lived);
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "vmcost", "What virtualisation costs, of vCPU time");
    VmRows rows(snapshot, options);
    const bool tells_exits = snapshot.kvm.tells_exits;
    const VcpuAccounts accounts = vcpu_accounts(snapshot.kvm);
    std::map<uint64_t, Cost> costs;
    for (const ThreadStates& thread : snapshot.states.threads) {
        const uint64_t vm = thread.owner.vm;
        if (vm == 0)
            continue;
        const std::string role = rows.role(vm, thread.tid);
        const auto account = accounts.find({vm, thread.tid});
        if (account != accounts.end() || vcpu_number(role)) {
            add_vcpu(costs[vm], thread.times,
                     account == accounts.end() ? VcpuAccount{} : account->second, tells_exits);
        } else if (role == "vhost") {
            costs[vm].vhosts++;
            costs[vm].vhost_ns += thread.times.ns.at(VT_REASON_NONE);
        }
    }
    for (const auto& [vm, cost] : costs)
        fill(rows.row(vm), cost, tells_exits);
    rows.give_to(report);
    std::ranges::stable_sort(report.rows, std::greater{}, [](const Row& row) {
        return row.metrics.back().value; // overhead_share
    });
    if (const std::string missing = missing_of_kvm(
            snapshot.kvm, "the budget by causes. EXITS is the system time of vCPUs, VMM their user "
                          "time outside of the guest");
        !missing.empty())
        report.notes.push_back(missing);
    if (std::string ended = note_of_ended(accounts, snapshot.states.threads); !ended.empty())
        report.notes.push_back(std::move(ended));
    finish(report, options);
    return report;
}

} // namespace

ToolSpec vmcost_tool()
{
    return {
        .name = "vmcost",
        .summary = "the overhead of each VM by cause, with the evidence",
        .details =
            "The time of a VM's vCPUs, and what of it virtualisation took: STEAL, able to run but\n"
            "without a CPU, or throttled; MEMORY, faults of the second level; EMUL, instructions\n"
            "that KVM or the VMM carried out; IRQ, interrupts, the APIC and timers; I/O, accesses\n"
            "to ports and device memory; POLL, waiting for interrupts on a CPU in vain. An exit\n"
            "costs the time until the guest runs again, its waits for a CPU apart: those are\n"
            "STEAL. NET is the CPU time of the VM's vhost threads, beside its vCPUs and in no\n"
            "sum: which exits are of a network device nobody on the host knows. OVERHEAD is the\n"
            "sum of all but GUEST, HALTED and NET.",
        .examples = "  vtrace vmcost 10 1                   each VM, for 10 s\n"
                    "  vtrace vmcost --vm=web-1 1           one VM, each second\n"
                    "  vtrace vmcost --format json 10 1 | jq '.rows[0].metrics.io_share.value'\n",
        .parts = parts,
        .build = build,
        .text = vmcost_text,
        .kvm = {.exits = true, .halts = true, .threads = true},
        .group = "vm",
        .only_vms = true,
        .without_tasks = kVmsInstead,
    };
}

} // namespace vtrace
