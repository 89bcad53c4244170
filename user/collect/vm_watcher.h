// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/object.h"
#include "entity/vm_finder.h"
#include "model/snapshot.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

namespace vtrace {

// Tells the programs which processes are VMs, and keeps their names: those there at the start from one scan,
// later ones from bpf/kvm.bpf.c.
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

    // VMs whose end the last report has shown at least a second ago, by the process of their VMM.
    std::vector<uint32_t> forget_reported();

private:
    using Clock = VmFinder::Clock;
    struct Reported {
        uint32_t pid;
        Clock::time_point when;
    };

    VmWatcher(BpfObject& object, const CgroupHierarchy& hierarchy)
        : object_(&object), finder_(hierarchy)
    {
    }

    Status attach_with_kvm();
    void take_found();
    void update();
    Status publish();
    void count_change();

    BpfObject* object_;
    VmFinder finder_;
    Link link_;
    uint64_t changes_seen_ = 0;
    Clock::time_point updated_;
    std::map<uint32_t, uint32_t> published_; // what the programs' map holds
    std::deque<Reported> reported_;
};

} // namespace vtrace
