// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/cgroup_hierarchy.h"
#include "entity/vm_process.h"
#include "model/snapshot.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace vtrace {

// The VMs of a host, by the process of their VMM. One that has ended stays until it is forgotten.
class VmFinder {
public:
    using Clock = std::chrono::steady_clock;

    explicit VmFinder(CgroupHierarchy hierarchy, std::string proc = "/proc")
        : hierarchy_(std::move(hierarchy)), proc_(std::move(proc))
    {
    }

    // Looks at all processes: 0.2 ms for each hundred.
    void scan(Clock::time_point now);

    // Takes in a process that has made a VM just now; it may have gone again.
    void found(uint32_t pid, Clock::time_point now);

    // Sees who has ended and who was moved to another cgroup. The kernel makes the threads that serve a VM
    // while it starts: they are looked for in its first seconds.
    void update(Clock::time_point now);

    void forget(uint32_t pid) { vms_.erase(pid); }

    // Why VMs may be missing, in sentences for the ledger.
    [[nodiscard]] std::vector<std::string> problems() const;

    [[nodiscard]] bool knows(uint32_t pid) const { return vms_.contains(pid); }
    [[nodiscard]] std::vector<EntityFact> facts() const;
    // Those of one VM, its helpers' among them; none if it has ended.
    [[nodiscard]] std::vector<VmThread> threads(uint32_t pid) const;

private:
    struct Vm {
        EntityFact fact;
        uint64_t start_time = 0; // as VmProcess has it
        std::string cgroup_path;
        Clock::time_point found;
    };

    // False if there is no such process any more, or another one with its number.
    bool look_at(uint32_t pid, Vm& vm, const std::vector<VmHelper>& helpers) const;
    void take_in(uint32_t pid, Clock::time_point now, const std::vector<VmHelper>& helpers);

    CgroupHierarchy hierarchy_;
    std::string proc_;
    std::map<uint32_t, Vm> vms_; // by pid
};

// True if VMs can run here: KVM is built in or loaded.
bool kernel_has_kvm();

// The VMs that are here now.
std::vector<EntityFact> vms_now(const CgroupHierarchy& hierarchy);

} // namespace vtrace
