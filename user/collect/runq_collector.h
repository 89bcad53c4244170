// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "model/snapshot.h"
#include "vtrace/runq.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace vtrace {

struct RunqConfig {
    bool by_cgroup = false;
    bool by_vm = false;     // with by_cgroup: VMs apart from what else is in their cgroups
    uint64_t target_vm = 0; // 0 is every VM, and what is in none
    uint32_t entities = 0;  // cgroups present
};

// The lengths of run queues, by samples, from bpf/runq.bpf.c.
class RunqCollector {
public:
    static void prepare(BpfObject& object, const RunqConfig& config);
    // Attaches. The object must outlive the collector.
    static Result<std::unique_ptr<RunqCollector>> start(BpfObject& object,
                                                        const RunqConfig& config);

    // Adds what was seen since the last read to the snapshot.
    Status read(Snapshot& snapshot);
    // A removed cgroup, or a VM that has ended, when its last figures have been reported.
    void release_cgroup(uint64_t cgroup_id);
    void release_vm(uint64_t vm);

private:
    using Clock = std::chrono::steady_clock;
    using Key = std::pair<OwnerId, uint32_t>; // whose, on which CPU
    struct Cpu {
        Link link; // null while it is not online
        vt_runq_cpu before{};
        Clock::time_point since;  // samples are due from here on
        uint64_t came = 0;        // of these
        uint64_t came_idle = 0;   // of these, while the CPU was idle
        uint64_t idle_before = 0; // /proc/stat's account when `since` was
        uint64_t slept = 0;       // did not come, because the CPU was idle
        uint64_t missed = 0;      // did not come for another reason
        Clock::time_point heard;  // the last time that it was asked for, or known to give, samples
    };

    explicit RunqCollector(BpfObject& object) : object_(&object) {}
    [[nodiscard]] std::map<Key, vt_runq_owner> owners() const;
    // Nothing on a CPU that is not online.
    Status sample(uint32_t number, uint64_t idle_ns);
    struct Absent {
        uint64_t slept;
        uint64_t missed;
    };
    static Absent newly_absent(Cpu& cpu, Clock::time_point now, uint64_t idle_ns);
    Status read_cpu(uint32_t number, Snapshot& snapshot, uint64_t idle_ns);
    void release(const std::function<bool(const OwnerId&)>& is_gone);

    BpfObject* object_;
    RunqConfig config_;
    MappedArray<vt_runq_cpu> counts_;
    std::vector<Cpu> cpus_; // by number, all that there can be
    std::map<Key, vt_runq_owner> owners_before_;
};

} // namespace vtrace
