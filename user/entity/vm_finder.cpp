// SPDX-License-Identifier: GPL-2.0-only
#include "entity/vm_finder.h"

#include "entity/process_cgroup.h"

#include <unistd.h>

#include <algorithm>
#include <optional>

namespace vtrace {
namespace {

constexpr std::chrono::seconds kStarts{15};
constexpr const char* kFromProcess = "process";

// Empty if it has gone.
std::string cgroup_path(const std::string& proc, uint32_t pid, int hierarchy)
{
    return process_cgroup(proc + "/" + std::to_string(pid), hierarchy).value_or("");
}

} // namespace

bool VmFinder::look_at(Vm& vm, const std::vector<VmHelper>& helpers)
{
    std::string path = cgroup_path(proc_, vm.fact.pid, hierarchy_.kernel_id);
    auto process = read_vm(proc_, vm.fact.pid, path, helpers);
    if (!process || process->start_time != vm.process.start_time)
        return false;
    const EntityFact before = vm.fact;
    if (const auto cgroup = find_cgroup(hierarchy_, path))
        vm.fact.cgroup_id = *cgroup;
    const VmName& name = process->name;
    vm.fact.name = name.name.empty() ? name.vmm + "-" + std::to_string(vm.fact.pid) : name.name;
    vm.fact.source = name.name.empty() ? kFromProcess : name.source;
    vm.fact.id = name.uuid;
    if (vm.fact != before || vm.process.helpers != process->helpers)
        changes_++;
    vm.process = std::move(*process);
    vm.cgroup_path = std::move(path);
    return true;
}

void VmFinder::take_in(uint32_t pid, uint64_t start_time, Clock::time_point now,
                       const std::vector<VmHelper>& helpers)
{
    const uint64_t id = vt_vm_id(pid, start_time);
    const auto [at, is_new] = vms_.try_emplace(id);
    if (!is_new)
        return;
    changes_++;
    Vm& vm = at->second;
    vm = {.fact = {.kind = "vm",
                   .name = "vm-" + std::to_string(pid),
                   .source = kFromProcess,
                   .vm = id,
                   .pid = pid},
          .process = {.pid = pid, .start_time = start_time, .name = {}, .helpers = {}},
          .found = now};
    vm.fact.ended = !look_at(vm, helpers);
}

void VmFinder::found(const Processes& processes, Clock::time_point now)
{
    const auto helpers = vm_helpers(proc_);
    for (const auto& [pid, process] : processes)
        take_in(pid, process.start_time, now, helpers);
}

void VmFinder::scan(Clock::time_point now)
{
    const VmPids seen = vm_pids(proc_);
    denied_ = seen.denied;
    const auto helpers = seen.pids.empty() ? std::vector<VmHelper>() : vm_helpers(proc_);
    for (const uint32_t pid : seen.pids) {
        if (const auto start_time = process_start_time(proc_, pid))
            take_in(pid, *start_time, now, helpers);
    }
}

// A process may close its VM and live on.
bool VmFinder::lives(const Vm& vm) const
{
    return process_lives(proc_, vm.fact.pid, vm.process.start_time) &&
           holds_vm(proc_, vm.fact.pid).value_or(true);
}

void VmFinder::update(Clock::time_point now, bool all)
{
    std::optional<std::vector<VmHelper>> helpers; // one look for all
    for (auto& [id, vm] : vms_) {
        if (vm.fact.ended)
            continue;
        if (!lives(vm)) {
            vm.fact.ended = true;
            changes_++;
            continue;
        }
        const bool moved = cgroup_path(proc_, vm.fact.pid, hierarchy_.kernel_id) != vm.cgroup_path;
        if (!all && !moved && now - vm.found > kStarts)
            continue;
        if (!helpers)
            helpers = vm_helpers(proc_);
        look_at(vm, *helpers);
    }
}

void VmFinder::forget(uint64_t vm)
{
    vms_.erase(vm);
    changes_++;
}

std::vector<std::string> VmFinder::problems() const
{
    if (denied_ == 0 || !kernel_has_kvm())
        return {};
    return {"no permission to look into " + std::to_string(denied_) +
            " processes (CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH): VMs may be missing"};
}

std::vector<EntityFact> VmFinder::facts() const
{
    std::vector<EntityFact> facts;
    facts.reserve(vms_.size());
    for (const auto& [id, vm] : vms_)
        facts.push_back(vm.fact);
    return facts;
}

VmFinder::Processes VmFinder::processes() const
{
    Processes processes;
    const auto add = [&](uint32_t pid, uint64_t start_time, uint64_t vm) {
        // Of two with the same number the later one is alive.
        const auto [at, is_new] = processes.try_emplace(pid, vt_vm_process{start_time, vm});
        if (!is_new && at->second.start_time < start_time)
            at->second = {start_time, vm};
    };
    for (const auto& [id, vm] : vms_) {
        add(vm.fact.pid, vm.process.start_time, id);
        for (const VmHelper& helper : vm.process.helpers)
            add(helper.tid, helper.start_time, id);
    }
    return processes;
}

std::vector<VmThread> VmFinder::threads(uint64_t vm) const
{
    const auto found = vms_.find(vm);
    return found == vms_.end() ? std::vector<VmThread>() : vm_threads(proc_, found->second.process);
}

bool kernel_has_kvm()
{
    return ::access("/sys/module/kvm", F_OK) == 0;
}

std::vector<EntityFact> vms_now(const CgroupHierarchy& hierarchy)
{
    VmFinder finder(hierarchy);
    finder.scan(VmFinder::Clock::now());
    return finder.facts();
}

} // namespace vtrace
