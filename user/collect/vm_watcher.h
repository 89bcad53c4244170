// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/object.h"
#include "entity/vm_finder.h"
#include "model/snapshot.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vtrace {

// Tells the programs which processes are VMs, and keeps their names: those there at the start from a scan,
// later ones from bpf/kvm.bpf.c; what neither has seen from a scan now and then.
class VmWatcher {
public:
    static void prepare(BpfObject& object);
    // Attaches, if the kernel has KVM. The object must outlive the watcher.
    static Result<std::unique_ptr<VmWatcher>> start(BpfObject& object,
                                                    const CgroupHierarchy& hierarchy);

    // Takes in new VMs; call it about ten times a second.
    Status poll();

    Status read(Snapshot& snapshot);
    [[nodiscard]] std::vector<EntityFact> vms() const { return finder_.facts(); }
    // The threads of one VM, its helpers' among them, as they are now.
    [[nodiscard]] std::vector<VmThread> threads(uint64_t vm) const { return finder_.threads(vm); }

    // VMs whose end the last report has shown at least a second ago, by their number.
    std::vector<uint64_t> forget_reported();

private:
    using Clock = VmFinder::Clock;
    using Processes = VmFinder::Processes;
    struct Reported {
        uint64_t vm;
        Clock::time_point when;
    };

    VmWatcher(BpfObject& object, const CgroupHierarchy& hierarchy)
        : object_(&object), finder_(hierarchy)
    {
    }

    void attach_with_kvm();
    void take_found();
    void update();
    Status publish();
    void count_change();
    [[nodiscard]] Processes in_map() const;

    BpfObject* object_;
    VmFinder finder_;
    Link link_;
    std::string no_link_; // why there is none
    uint64_t changes_seen_ = 0;
    uint64_t published_ = 0; // of finder_.changes()
    bool full_ = false;
    Clock::time_point updated_;
    std::optional<Clock::time_point> scanned_;
    std::deque<Reported> reported_;
};

} // namespace vtrace
