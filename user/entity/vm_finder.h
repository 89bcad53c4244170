// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/cgroup_hierarchy.h"
#include "entity/vm_process.h"
#include "model/snapshot.h"
#include "vtrace/vm.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace vtrace {

// The VMs of a host, by the processes of their VMMs. One that has ended stays until it is forgotten.
class VmFinder {
public:
    using Clock = std::chrono::steady_clock;
    using Processes = std::map<uint32_t, vt_vm_process>; // by pid

    explicit VmFinder(CgroupHierarchy hierarchy, std::string proc = "/proc")
        : hierarchy_(std::move(hierarchy)), proc_(std::move(proc))
    {
    }

    // Looks at all processes: 1 us for each descriptor on the host.
    void scan(Clock::time_point now);

    // Takes in processes that were seen to make a VM; they may have gone again.
    void found(const Processes& processes, Clock::time_point now);

    // Sees which VMs have ended or were moved to another cgroup, and which threads of the kernel serve them:
    // those it makes while a VM starts at once, later ones when update() has time for `all`.
    void update(Clock::time_point now, bool all);

    void forget(uint64_t vm);

    // How often anything below has changed.
    [[nodiscard]] uint64_t changes() const { return changes_; }
    [[nodiscard]] bool knows(uint64_t vm) const { return vms_.contains(vm); }
    [[nodiscard]] std::vector<EntityFact> facts() const;
    // Their VMMs and who serves them.
    [[nodiscard]] Processes processes() const;
    // Those of one VM, its helpers' among them; none if it has ended.
    [[nodiscard]] std::vector<VmThread> threads(uint64_t vm) const;

    // Why VMs may be missing, in sentences for the ledger.
    [[nodiscard]] std::vector<std::string> problems() const;

private:
    struct Vm {
        EntityFact fact;
        VmProcess process;
        std::string cgroup_path;
        Clock::time_point found;
    };

    void take_in(uint32_t pid, uint64_t start_time, Clock::time_point now,
                 const std::vector<VmHelper>& helpers);
    // What /proc tells of a VM; false if it has gone.
    bool look_at(Vm& vm, const std::vector<VmHelper>& helpers);
    [[nodiscard]] bool lives(const Vm& vm) const;

    CgroupHierarchy hierarchy_;
    std::string proc_;
    std::map<uint64_t, Vm> vms_; // by vt_vm_id()
    uint64_t changes_ = 0;
    size_t denied_ = 0; // processes that the last scan could not look into
};

// True if VMs can run here: KVM is built in or loaded.
bool kernel_has_kvm();

// The VMs that are here now.
std::vector<EntityFact> vms_now(const CgroupHierarchy& hierarchy);

} // namespace vtrace
