// SPDX-License-Identifier: GPL-2.0-only
#include "tools/vcpu.h"

#include "render/kvm_text.h"
#include "tools/report_parts.h"
#include "tools/vcpu_times.h"
#include "tools/vm_rows.h"
#include "vtrace/reason.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {.waits = true, .throttling = true, .blame = true, .states = true, .threads = true};
}

void add_state(Row& row, std::string_view name, uint64_t ns, uint64_t lived)
{
    add_counter(row, name, "ns", ns);
    row.metrics.push_back(
        {.name = std::string(name) + "_share",
         .type = Metric::Type::kShare,
         .unit = "1",
         .value = static_cast<double>(ns) / static_cast<double>(std::max<uint64_t>(lived, 1))});
}

void add_times(Row& row, const VcpuTimes& times)
{
    add_counter(row, "lived", "ns", times.lived);
    add_counter(row, "states_sum", "ns", times.sum());
    add_state(row, "guest", times.guest, times.lived);
    add_state(row, "exits", times.in_exits(), times.lived);
    for (size_t i = 0; i < kExitClasses.size(); i++) {
        if (times.exits.at(i) == 0)
            continue;
        std::string name = "exits_" + std::string(exit_class_name(kExitClasses.at(i)));
        std::ranges::replace(name, '-', '_'); // as the names of all metrics
        add_state(row, name, times.exits.at(i), times.lived);
    }
    add_state(row, "vmm", times.vmm, times.lived);
    add_state(row, "polled", times.polled, times.lived);
    add_state(row, "poll_wasted", times.wasted, times.lived);
    add_state(row, "halted", times.halted, times.lived);
    add_state(row, "blocked", times.blocked, times.lived);
    add_state(row, "waited", times.waited, times.lived);
    add_state(row, "throttled", times.throttled, times.lived);
    add_state(row, "stolen", times.stolen, times.lived);
    add_state(row, "unknown", times.unknown, times.lived);
}

// The VM's threads that run no vCPU, by role.
struct Role {
    uint64_t threads = 0;
    StateTimes times;
};

Row role_row(const std::string& name, const Role& role)
{
    Row row{.entity = {.kind = "role", .name = name}};
    const uint64_t running = role.times.ns.at(VT_REASON_NONE);
    row.metrics.push_back({.name = "threads",
                           .type = Metric::Type::kGauge,
                           .unit = "1",
                           .value = static_cast<double>(role.threads)});
    add_counter(row, "lived", "ns", role.times.lived);
    add_counter(row, "ran", "ns", running);
    add_counter(row, "waited", "ns", role.times.ns.at(VT_REASON_RUNNABLE));
    add_counter(row, "throttled", "ns", role.times.ns.at(VT_REASON_THROTTLED));
    return row;
}

// Who held the CPUs while threads of a VM waited: of all its threads, as waits are charged to the VM.
void add_culprits(Row& row, uint64_t vm, const Snapshot& snapshot, const Entities& entities)
{
    std::map<std::string, Row> culprits;
    for (const OwnerTime& time : snapshot.sched.times) {
        if (time.owner.vm != vm || !is_part_of_wait(time.about))
            continue;
        Entity culprit{.kind = "part", .name = time.about};
        if (time.about == kNeighbour) {
            culprit = entity_of(entities, time.culprit, "vm");
            if (culprit.kind == "host")
                culprit = entity_of(entities, time.culprit, "cgroup");
        }
        culprit.labels = {{"role", "culprit"}};
        Row& found = culprits[key_of(culprit)];
        found.entity = std::move(culprit);
        add_counter(found, "held", "ns", time.time.sum);
    }
    std::vector<Row> sorted;
    sorted.reserve(culprits.size());
    for (auto& [key, culprit] : culprits)
        sorted.push_back(std::move(culprit));
    std::ranges::stable_sort(sorted, std::greater{},
                             [](const Row& r) { return r.metrics.front().value; });
    std::ranges::move(sorted, std::back_inserter(row.rows));
}

struct Vm {
    // By their number; those without one behind them. Two are of one number if the first has ended.
    std::multimap<uint32_t, Row> vcpus;
    std::map<std::string, Role> roles;
    VcpuTimes times;
    size_t count = 0;
};

void add_vm(Row& row, uint64_t vm, Vm& found, const Snapshot& snapshot, const Entities& entities)
{
    row.metrics.push_back({.name = "vcpus",
                           .type = Metric::Type::kGauge,
                           .unit = "1",
                           .value = static_cast<double>(found.count)});
    add_times(row, found.times);
    for (auto& [number, vcpu] : found.vcpus)
        row.rows.push_back(std::move(vcpu));
    for (const auto& [name, role] : found.roles)
        row.rows.push_back(role_row(name, role));
    add_culprits(row, vm, snapshot, entities);
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    constexpr uint32_t kNoNumber = std::numeric_limits<uint32_t>::max();
    Report report = empty_report(snapshot, "vcpu", "Where the time of vCPUs went");
    report.nested = "threads";
    VmRows rows(snapshot, options);
    const Entities entities(snapshot.cgroups, snapshot.entities);
    const VcpuAccounts accounts = vcpu_accounts(snapshot.kvm);
    std::map<uint64_t, Vm> vms;
    for (const ThreadStates& thread : snapshot.states.threads) {
        const uint64_t vm = thread.owner.vm;
        if (vm == 0)
            continue;
        const std::string role = rows.role(vm, thread.tid);
        const auto account = accounts.find({vm, thread.tid});
        const auto number = vcpu_number(role);
        if (account == accounts.end() && !number) {
            Role& of_role = vms[vm].roles[role];
            of_role.threads++;
            of_role.times += thread.times;
            continue;
        }
        if (!rows.wanted(vm, thread.tid))
            continue;
        const VcpuTimes times =
            vcpu_times(thread.times, account == accounts.end() ? VcpuAccount{} : account->second,
                       snapshot.kvm.tells_exits);
        Row row{.entity = {.kind = "vcpu", .name = role}};
        row.entity.tid = thread.tid;
        add_times(row, times);
        Vm& found = vms[vm];
        found.vcpus.emplace(number ? *number : kNoNumber, std::move(row));
        found.times += times;
        found.count++;
    }
    // Of a VM without the vCPU that was asked for there is nothing to say.
    if (options.vcpu)
        std::erase_if(vms, [](const auto& vm) { return vm.second.count == 0; });
    for (auto& [vm, found] : vms)
        add_vm(rows.row(vm), vm, found, snapshot, entities);
    rows.give_to(report);
    std::ranges::stable_sort(report.rows, std::greater{},
                             [](const Row& row) { return row.entity.name; });
    std::ranges::reverse(report.rows);
    if (const std::string missing = missing_of_kvm(
            snapshot.kvm, "exits by class and polling that was wasted. The guest is the kernel's "
                          "guest time, exits its system time");
        !missing.empty())
        report.notes.push_back(missing);
    if (std::string ended = note_of_ended(accounts, snapshot.states.threads); !ended.empty())
        report.notes.push_back(std::move(ended));
    finish(report, options);
    return report;
}

} // namespace

ToolSpec vcpu_tool()
{
    return {
        .name = "vcpu",
        .summary = "where the time of each vCPU goes",
        .details =
            "Divides the time of each vCPU's thread. On a CPU: GUEST; EXITS, which is KVM in the\n"
            "kernel (by class in JSON); VMM, its process; POLL, KVM waiting for an interrupt\n"
            "instead of sleeping; WASTE, likewise, but it slept after all. Off it: HALTED, until\n"
            "an interrupt; ASLEEP, for anything else; WAIT, able to run, without a CPU (for the\n"
            "guest that is steal); THROT, its own quota. Below the vCPUs are the VM's other\n"
            "threads by role, and who held the CPUs while threads of the VM waited.",
        .examples = "  vtrace vcpu 5 1                      each VM, for 5 s\n"
                    "  vtrace vcpu --vm=web-1 1             one VM, each second\n"
                    "  vtrace vcpu --format json 5 1 | jq '.rows[0].metrics.waited_share.value'\n",
        .parts = parts,
        .build = build,
        .text = vcpu_text,
        .kvm = {.exits = true, .halts = true, .threads = true},
        .group = "vm",
        .vcpus = true,
        .only_vms = true,
        .without_tasks = kVmsInstead,
    };
}

} // namespace vtrace
