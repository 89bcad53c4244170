// SPDX-License-Identifier: GPL-2.0-only
#include "entity/vm_finder.h"

#include "base/files.h"

#include <string_view>

namespace vtrace {
namespace {

using std::chrono::seconds;

constexpr seconds kStarts{15};
constexpr seconds kLookEvery{1};

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

bool VmFinder::look_at(uint32_t pid, Vm& vm, Clock::time_point now) const
{
    std::string path = cgroup_path(proc_, pid, hierarchy_.kernel_id);
    auto process = read_vm(proc_, pid, path);
    if (!process || (vm.start_time != 0 && vm.start_time != process->start_time))
        return false;
    const auto cgroup = find_cgroup(hierarchy_, path);
    vm.fact = {.cgroup_id = cgroup ? *cgroup : vm.fact.cgroup_id,
               .kind = "vm",
               .name = process->name.name,
               .id = process->name.uuid,
               .image = "",
               .source = process->name.source,
               .pid = pid,
               .helpers = std::move(process->helpers)};
    if (vm.fact.name.empty()) {
        vm.fact.name = process->name.vmm + "-" + std::to_string(pid);
        vm.fact.source = "process";
    }
    vm.start_time = process->start_time;
    vm.cgroup_path = std::move(path);
    vm.looked_at = now;
    return true;
}

void VmFinder::found(uint32_t pid, Clock::time_point now)
{
    Vm& vm = vms_[pid];
    vm = {.fact = {.kind = "vm",
                   .name = "vm-" + std::to_string(pid),
                   .source = "process",
                   .pid = pid},
          .found = now};
    vm.fact.ended = !look_at(pid, vm, now);
}

void VmFinder::scan(Clock::time_point now)
{
    for (const uint32_t pid : vm_pids(proc_)) {
        if (!knows(pid))
            found(pid, now);
    }
}

void VmFinder::update(Clock::time_point now)
{
    for (auto& [pid, vm] : vms_) {
        if (vm.fact.ended)
            continue;
        if (process_start_time(proc_, pid) != vm.start_time) {
            vm.fact.ended = true;
            continue;
        }
        const bool starts = now - vm.found < kStarts && now - vm.looked_at >= kLookEvery;
        if (starts || cgroup_path(proc_, pid, hierarchy_.kernel_id) != vm.cgroup_path)
            vm.fact.ended = !look_at(pid, vm, now);
    }
}

std::vector<EntityFact> VmFinder::facts() const
{
    std::vector<EntityFact> facts;
    facts.reserve(vms_.size());
    for (const auto& [pid, vm] : vms_)
        facts.push_back(vm.fact);
    return facts;
}

std::vector<EntityFact> vms_now(const CgroupHierarchy& hierarchy)
{
    VmFinder finder(hierarchy);
    finder.scan(VmFinder::Clock::now());
    return finder.facts();
}

} // namespace vtrace
