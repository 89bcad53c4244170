// SPDX-License-Identifier: GPL-2.0-only
#include "entity/vm_finder.h"

#include "base/files.h"

#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string_view>

namespace vtrace {
namespace {

constexpr std::chrono::seconds kStarts{15};
constexpr const char* kFromProcess = "process";

// The path of a process's cgroup: of the line "HIERARCHY:CONTROLLERS:PATH". Empty if it has gone.
std::string cgroup_path(const std::string& proc, uint32_t pid, int hierarchy)
{
    const auto text = read_file(proc + "/" + std::to_string(pid) + "/cgroup");
    if (!text)
        return "";
    const std::string wanted = std::to_string(hierarchy) + ":";
    for (const std::string_view line : split(*text, '\n')) {
        if (line.starts_with(wanted))
            return std::string(line.substr(line.find(':', wanted.size()) + 1));
    }
    return "";
}

} // namespace

bool VmFinder::look_at(uint32_t pid, Vm& vm, const std::vector<VmHelper>& helpers) const
{
    std::string path = cgroup_path(proc_, pid, hierarchy_.kernel_id);
    auto process = read_vm(proc_, pid, path, helpers);
    if (!process || (vm.start_time != 0 && vm.start_time != process->start_time))
        return false;
    if (const auto cgroup = find_cgroup(hierarchy_, path))
        vm.fact.cgroup_id = *cgroup;
    const VmName& name = process->name;
    vm.fact.name = name.name.empty() ? name.vmm + "-" + std::to_string(pid) : name.name;
    vm.fact.source = name.name.empty() ? kFromProcess : name.source;
    vm.fact.id = name.uuid;
    vm.fact.helpers = std::move(process->helpers);
    vm.start_time = process->start_time;
    vm.cgroup_path = std::move(path);
    return true;
}

void VmFinder::take_in(uint32_t pid, Clock::time_point now, const std::vector<VmHelper>& helpers)
{
    Vm& vm = vms_[pid];
    vm = {.fact = {.kind = "vm",
                   .name = "vm-" + std::to_string(pid),
                   .source = kFromProcess,
                   .pid = pid},
          .found = now};
    vm.fact.ended = !look_at(pid, vm, helpers);
}

void VmFinder::found(uint32_t pid, Clock::time_point now)
{
    take_in(pid, now, vm_helpers(proc_));
}

void VmFinder::scan(Clock::time_point now)
{
    const std::vector<uint32_t> pids = vm_pids(proc_);
    const auto helpers = pids.empty() ? std::vector<VmHelper>() : vm_helpers(proc_);
    for (const uint32_t pid : pids) {
        if (!knows(pid))
            take_in(pid, now, helpers);
    }
}

void VmFinder::update(Clock::time_point now)
{
    std::optional<std::vector<VmHelper>> helpers; // one look for all
    for (auto& [pid, vm] : vms_) {
        if (vm.fact.ended)
            continue;
        if (process_start_time(proc_, pid) != vm.start_time) {
            vm.fact.ended = true;
            continue;
        }
        const bool moved = cgroup_path(proc_, pid, hierarchy_.kernel_id) != vm.cgroup_path;
        if (!moved && now - vm.found > kStarts)
            continue;
        if (!helpers)
            helpers = vm_helpers(proc_);
        vm.fact.ended = !look_at(pid, vm, *helpers);
    }
}

std::vector<std::string> VmFinder::problems() const
{
    const std::string others = proc_ + "/1/fd";
    if (!kernel_has_kvm() || ::access(others.c_str(), R_OK | X_OK) == 0 || errno != EACCES)
        return {};
    return {"no permission to look into others' processes (CAP_SYS_PTRACE): VMs may be missing"};
}

std::vector<EntityFact> VmFinder::facts() const
{
    std::vector<EntityFact> facts;
    facts.reserve(vms_.size());
    for (const auto& [pid, vm] : vms_)
        facts.push_back(vm.fact);
    return facts;
}

std::vector<VmThread> VmFinder::threads(uint32_t pid) const
{
    const auto found = vms_.find(pid);
    if (found == vms_.end())
        return {};
    const Vm& vm = found->second;
    return vm_threads(
        proc_, {.pid = pid, .start_time = vm.start_time, .name = {}, .helpers = vm.fact.helpers});
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
