// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/object.h"
#include "collect/block_collector.h"
#include "collect/cgroup_memory.h"
#include "collect/cgroup_watcher.h"
#include "collect/drop_collector.h"
#include "collect/irq_collector.h"
#include "collect/kvm_collector.h"
#include "collect/memory_collector.h"
#include "collect/netq_collector.h"
#include "collect/quota_collector.h"
#include "collect/runq_collector.h"
#include "collect/sched_collector.h"
#include "collect/stack_collector.h"
#include "collect/state_collector.h"
#include "collect/tcp_collector.h"
#include "collect/vm_memory.h"
#include "collect/vm_watcher.h"
#include "tools/measured.h"
#include "tools/options.h"

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

namespace vtrace {

// Single events above the threshold of --slower.
struct SlowEvents {
    std::vector<SlowWait> waits;
    std::vector<SlowRequest> requests;
    std::vector<SlowSession> sessions;
};

// The running collectors and the BPF object they live in; all of it ends with this.
class Collectors {
public:
    static Result<std::unique_ptr<Collectors>> start(
        const ToolOptions& options, const Measured& measured,
        std::chrono::steady_clock::time_point process_start);

    // Names what was there before; after the start, so that it does not delay it.
    Status scan();

    // Of another one's stalls those that a switch shows are looked for by this one's hook: one program less on it.
    // Nothing if either has no such hook.
    Status lead(Collectors& other);

    // To be called each poll_every(). Returns the single events that ended since.
    Result<SlowEvents> poll();
    [[nodiscard]] std::chrono::nanoseconds poll_every() const;
    // By how much earlier a poll may come, for the sake of fewer wake-ups.
    [[nodiscard]] std::chrono::nanoseconds poll_early() const;

    // What was measured since the last read or the start.
    Result<Snapshot> read();

    // The names as they are now, for single waits.
    [[nodiscard]] CgroupFacts names() const { return watcher_->facts(); }
    [[nodiscard]] std::vector<EntityFact> entities() const;

private:
    explicit Collectors(BpfObject object) : object_(std::move(object)) {}
    struct Configs {
        SchedConfig sched;
        StackConfig stacks;
        KvmConfig kvm;
        BlockConfig block;
        MemoryConfig memory;
        TcpConfig tcp;
        IrqConfig irq;
        DropConfig drops;
        NetqConfig netq;
        CgroupHierarchy hierarchy;
        bool with_entities = false;
    };
    static Result<std::unique_ptr<Collectors>> start(const Configs& configs);
    void read_overhead(Snapshot& snapshot);
    void release_cgroup(uint64_t id);
    void release_vm(uint64_t vm);
    void complete_kvm(Snapshot& snapshot);

    BpfObject object_;
    Fd stats_;
    std::unique_ptr<CgroupWatcher> watcher_;
    std::unique_ptr<VmWatcher> vms_; // null unless VMs are asked for
    std::unique_ptr<SchedCollector> sched_;
    std::unique_ptr<KvmCollector> kvm_;         // null unless VMs are looked into
    std::unique_ptr<RunqCollector> runq_;       // null unless queues are asked for
    std::unique_ptr<BlockCollector> block_;     // null unless block I/O is asked for
    std::unique_ptr<MemoryCollector> memory_;   // null unless stalls are asked for
    std::unique_ptr<TcpCollector> tcp_;         // null unless TCP is asked for
    std::optional<CgroupMemory> cgroup_memory_; // with memory_
    std::unique_ptr<IrqCollector> irq_;         // null unless interrupts are asked for
    std::unique_ptr<DropCollector> drops_;      // null unless dropped packets are asked for
    std::unique_ptr<NetqCollector> netq_;       // null unless network devices are asked for
    CgroupHierarchy hierarchy_;
    std::optional<VmMemory> vm_memory_;
    std::optional<QuotaCollector> quotas_;
    bool knobs_ = false;                     // settings of the host are asked for
    uint64_t target_cgroup_ = 0;             // 0 is all
    uint64_t target_vm_ = 0;                 // likewise
    std::unique_ptr<StackCollector> stacks_; // null unless stacks are asked for
    std::unique_ptr<StateCollector> states_; // null unless states are asked for
    SlowEvents slow_;
    std::chrono::steady_clock::time_point window_start_;
    std::vector<ProgramCost> costs_before_;
    uint64_t recursion_before_ = 0;
    uint64_t cpu_before_ns_ = 0;
    uint64_t startup_ns_ = 0;
};

} // namespace vtrace
