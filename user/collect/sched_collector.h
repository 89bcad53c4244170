// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "collect/comm_glob.h"
#include "collect/histogram_store.h"
#include "model/snapshot.h"
#include "vtrace/sched.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace vtrace {

// What is to be measured; all that is off costs nothing.
struct SchedParts {
    bool waits = false;      // for a CPU
    bool throttling = false; // and the throttled parts of waits
    bool blame = false;      // who ran meanwhile; needs throttling and SchedConfig::by_cgroup
    bool slices = false;     // time on a CPU at a stretch
    bool offcpu = false;     // time between two slices
    bool queues = false;     // lengths of run queues, by RunqCollector
    bool stacks = false;     // what it was spent for, by stack: user/collect/stack_collector.h
    bool states = false;     // where the time of threads goes; needs throttling
    bool threads = false;    // with states: of each thread, too

    bool operator==(const SchedParts&) const = default;
    [[nodiscard]] bool any() const { return *this != SchedParts{}; }

    // Of these what the hook on sched_switch does.
    [[nodiscard]] SchedParts of_hook() const
    {
        SchedParts parts = *this;
        parts.queues = parts.threads = false;
        return parts;
    }
};

// The name of a thread of the kernel's own (VT_OWNER_KTHREAD), raw bytes.
std::string kthread_name(const vt_owner& owner);

struct SchedConfig {
    SchedParts parts;
    bool by_cgroup = false;
    bool by_vm = false; // with by_cgroup: VMs apart from what else is in their cgroups
    bool cgroup_v1_cpu = false;
    uint64_t target_cgroup = 0; // 0 is all
    uint64_t target_vm = 0;     // EntityFact::vm; 0 is all
    int tgid = 0;               // 0 is every process
    std::optional<CommGlob> comm;
    uint64_t slower_ns = 0; // 0 reports no single waits
    bool include_self = false;
    bool stalls_follow = false; // SchedCollector::after_switch() will be used
    bool task_storage = true;   // false: the hash that serves kernels before 5.12
    uint32_t entities = 0;      // cgroups present, for the first size of the tables
    uint32_t threads = 0;       // threads present, likewise
};

// What tasks do with CPUs and wait for them, per owner, from bpf/sched.bpf.c.
// Limits: a wait includes time throttled by the task's own CPU quota.
class SchedCollector {
public:
    using SlowWaitSink = std::function<void(SlowWait)>;

    // Turns on what is needed, before BpfObject::load().
    static void prepare(BpfObject& object, const SchedConfig& config);
    // Attaches; the first window starts when this returns. The object must outlive the collector.
    static Result<std::unique_ptr<SchedCollector>> start(BpfObject& object,
                                                         const SchedConfig& config,
                                                         SlowWaitSink slow_wait);

    // Delivers single waits and makes room for new cgroups; call it about ten times a second.
    Status poll();

    // The table of programs (BPF_MAP_TYPE_PROG_ARRAY) whose first is called after each switch with a task that waited,
    // or will, for a disk or for memory; -1 if this collector has no hook on switches. Needs SchedConfig::stalls_follow.
    [[nodiscard]] int after_switch() const;

    // How many there are now.
    [[nodiscard]] uint32_t slots() const { return store_.slots(); }
    // Whose a slot is.
    [[nodiscard]] OwnerId owner_of(uint32_t slot) const;

    // Adds what happened since the last read to the snapshot.
    Status read(Snapshot& snapshot);

    // Give the slots of a removed cgroup, of an ended VM, back; call them when the last figures have been
    // reported.
    void release_cgroup(uint64_t cgroup_id);
    void release_vm(uint64_t vm);

private:
    struct About {
        OwnerId owner;
        std::string_view about;
        OwnerId culprit;
        auto operator<=>(const About&) const = default; // NOLINT(modernize-use-nullptr)
    };

    SchedCollector(BpfObject& object, const SchedConfig& config, HistogramStore store,
                   SlowWaitSink slow_wait);

    Status attach_all();
    Status add_tasks();
    Status free_new_slots(uint32_t from);
    Status read_open_waits(SchedSnapshot& sched);
    Status keep_slots_free();
    void accumulate();
    [[nodiscard]] vt_owner key_of(uint32_t slot) const;
    [[nodiscard]] About about(uint32_t slot) const;
    [[nodiscard]] About about(uint32_t slot, uint32_t code) const;
    void release(uint32_t slot);
    void release_if(const std::function<bool(const vt_owner&)>& ends);
    [[nodiscard]] vt_sched_cpu counters() const;
    static int on_slow_wait(void* self, void* data, size_t size);

    BpfObject* object_;
    SchedConfig config_;
    SlotPlan plan_;
    HistogramStore store_;
    SlowWaitSink slow_wait_;
    MappedArray<vt_sched_cpu> cpus_;
    MappedArray<vt_owner> slot_owner_;
    std::vector<Link> links_;
    Link add_tasks_;
    Link open_waits_;
    Ring ring_;
    vt_sched_cpu before_{};
    uint64_t failed_handled_ = 0; // of vt_sched_cpu.task_failed
    uint64_t tasks_missing_ = 0;  // have no state after all attempts
    uint64_t slots_released_ = 0;
    std::map<About, Histogram> pending_;
    std::chrono::steady_clock::time_point accumulated_;
};

} // namespace vtrace
