// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "model/block.h"
#include "model/cpu_quota.h"
#include "model/drops.h"
#include "model/histogram.h"
#include "model/irq.h"
#include "model/knobs.h"
#include "model/kvm.h"
#include "model/memory.h"
#include "model/netq.h"
#include "model/owner.h"
#include "model/states.h"
#include "model/tcp.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vtrace {

// What was measured in one window, raw: ids instead of names, and the facts that resolving needs.
// Reports are pure functions of it, so that a saved one gives the same report on any machine.

struct HostFacts {
    std::string name;
    std::string kernel; // uname -r
    bool operator==(const HostFacts&) const = default;
};

// One cgroup of the hierarchy that figures are charged to.
struct CgroupFact {
    uint64_t id = 0;     // inode of its directory
    uint64_t parent = 0; // 0 for the root
    std::string name;    // one path component, raw bytes; empty for the root
    bool removed = false;
    bool operator==(const CgroupFact&) const = default;
};

struct CgroupFacts {
    std::string hierarchy; // "cpu (v1)" or "v2"
    std::vector<CgroupFact> cgroups;
    bool operator==(const CgroupFacts&) const = default;
};

// A container, a pod or a unit: it lives in a cgroup and in all below it. Or a VM: it lives in a process, and
// in those of the kernel that serve it.
struct EntityFact {
    uint64_t cgroup_id = 0;
    std::string kind; // vm, container, pod or unit
    std::string
        name;       // for people, raw bytes; of a pod NAMESPACE/NAME; its id where no name is known
    std::string id; // the engine's, the pod's uid, the VM's uuid; empty if it has none
    std::string image;  // of a container; empty if not known
    std::string source; // where the name is from: "docker API", "cgroup"
    uint64_t vm = 0;    // of a VM: its number, never used again while the host is up
    uint32_t pid = 0;   // of a VM: the process of its VMM
    bool ended = false; // of a VM
    bool operator==(const EntityFact&) const = default;
};

// What an OwnerTime is about.
inline constexpr std::string_view kWait = "wait";     // for a CPU
inline constexpr std::string_view kSlice = "slice";   // on a CPU at a stretch
inline constexpr std::string_view kOffCpu = "offcpu"; // between two slices
// The parts of waits: what held the CPU meanwhile.
inline constexpr std::string_view kThrottled = "throttled";    // the own CPU quota
inline constexpr std::string_view kSelf = "self";              // others of the same owner
inline constexpr std::string_view kNeighbour = "neighbour";    // the culprit
inline constexpr std::string_view kNeighbours = "neighbours";  // others than those with a figure
inline constexpr std::string_view kIdle = "idle";              // nobody: the CPU was being woken
inline constexpr std::string_view kForcedIdle = "forced_idle"; // nobody, by core scheduling
inline constexpr std::string_view kIrq = "irq";                // interrupts
inline constexpr std::string_view kSteal = "steal";            // the hypervisor above this host
inline constexpr std::string_view kUnknown = "unknown";

// Not of the times that are no parts of waits.
constexpr bool is_part_of_wait(std::string_view about)
{
    return about != kWait && about != kSlice && about != kOffCpu;
}

// A part of a wait that has not ended.
struct OpenPart {
    std::string about;
    OwnerId culprit; // of kNeighbour
    uint64_t ns = 0;
    bool operator==(const OpenPart&) const = default;
};

// A wait that had not ended when the window did.
struct OpenWait {
    uint64_t wait_ns = 0; // so far
    uint64_t cgroup_id = 0;
    uint64_t vm = 0; // as in OwnerId
    uint32_t tid = 0;
    uint32_t tgid = 0;
    std::string comm;            // raw bytes
    std::vector<OpenPart> parts; // with blame: what held the CPU by now
    bool operator==(const OpenWait&) const = default;
};

// A single wait above the threshold of --slower.
struct SlowWait {
    int64_t end_ns = 0; // ns since 1970
    uint64_t wait_ns = 0;
    uint64_t cgroup_id = 0;
    uint64_t vm = 0; // as in OwnerId
    uint32_t cpu = 0;
    uint32_t tid = 0;
    uint32_t tgid = 0;
    std::string comm;
    uint32_t previous_tid = 0; // who left the CPU; 0 is the idle task
    std::string previous_comm;
};

// Times of one owner about one thing, in the window.
struct OwnerTime {
    OwnerId owner;     // none: all of the host; by cgroup those that found no slot
    std::string about; // kWait and the like
    OwnerId culprit;   // of kNeighbour
    Histogram time;
    bool operator==(const OwnerTime&) const = default;
};

struct SchedSnapshot {
    std::vector<OwnerTime> times;
    std::vector<OpenWait> open;
    bool operator==(const SchedSnapshot&) const = default;
};

// What samples saw of one CPU's run queue, the running task not counted.
struct RunqCpu {
    uint32_t cpu = 0;
    uint64_t samples = 0;
    uint64_t sum = 0; // of lengths
    uint64_t cut = 0; // samples in which not all tasks were looked at
    std::vector<std::pair<uint32_t, uint64_t>> lengths; // and in how many samples
    bool operator==(const RunqCpu&) const = default;
};

// What they saw of one owner's tasks there.
struct RunqOwner {
    OwnerId owner;
    uint32_t cpu = 0;
    uint64_t seen = 0; // samples that any waited in
    uint64_t sum = 0;  // of how many
    bool operator==(const RunqOwner&) const = default;
};

struct RunqSnapshot {
    std::vector<RunqCpu> cpus;
    std::vector<RunqOwner> owners;
    bool operator==(const RunqSnapshot&) const = default;
};

// A cgroup with a CPU quota of its own, or that had one in the window.
struct CgroupQuota {
    uint64_t cgroup_id = 0;
    std::optional<CpuQuota> quota; // at the end of the window
    bool changed = false;          // in the window
    QuotaCounts counts;            // over the window
    bool operator==(const CgroupQuota&) const = default;
};

// Times off a CPU of one process, for one reason, with one stack.
struct Block {
    OwnerId owner;
    uint32_t tgid = 0;
    std::string comm; // of the thread, raw bytes
    std::string reason;
    std::vector<uint32_t> user; // numbers in StackSnapshot::frames, the innermost first
    std::vector<uint32_t> kernel;
    uint32_t tid = 0; // of one that has not ended
    uint64_t count = 0;
    uint64_t ns = 0;
    uint64_t max_ns = 0;
    bool operator==(const Block&) const = default;
};

struct StackSnapshot {
    uint64_t min_ns = 0; // shorter and longer times off a CPU are in none
    uint64_t max_ns = 0;
    std::vector<std::string> frames; // their names, raw bytes
    std::vector<Block> ended;        // worst first
    std::vector<Block> open;         // what had not ended when the window did, longest first
    bool operator==(const StackSnapshot&) const = default;
};

// Where the time of an owner's threads went.
struct OwnerStates {
    OwnerId owner;
    uint64_t threads = 0; // at the end of the window
    StateTimes times;
    bool operator==(const OwnerStates&) const = default;
};

// Where the time of one thread went, which is there at the end of the window.
struct ThreadStates {
    OwnerId owner;
    uint32_t tid = 0;
    uint32_t tgid = 0;
    std::string comm; // raw bytes
    StateTimes times;
    bool operator==(const ThreadStates&) const = default;
};

struct StateSnapshot {
    std::vector<OwnerStates> owners;   // with what their threads had that ended in the window
    std::vector<ThreadStates> threads; // if they were asked for
    bool operator==(const StateSnapshot&) const = default;
};

// Every way in which an event can be lost, counted over the window.
struct Loss {
    uint64_t map_full = 0;         // events charged to `other`
    uint64_t ring_dropped = 0;     // single events not shown: buffer full
    uint64_t rate_limited = 0;     // single events not shown: too many in a second
    uint64_t clock_anomaly = 0;    // events not measured: negative or impossible time
    uint64_t missed_start = 0;     // events not measured: their start was not seen
    uint64_t recovered = 0;        // events taken from the kernel's totals: one before was not seen
    uint64_t task_failed = 0;      // tasks that cannot be measured: no memory for their state
    uint64_t recursion_misses = 0; // runs of a program that the kernel skipped
    uint64_t cgroup_dropped = 0;   // changes of cgroups not seen: buffer full
    uint64_t stacks_not_taken = 0; // stacks of a user's or the kernel's that are not known
    uint64_t stacks_lost = 0;      // stacks that found no room
    uint64_t blocks_lost = 0;      // times off a CPU in no figure: no room for their stack
    uint64_t blocks_lost_ns = 0;
    uint64_t stacks_unnoticed = 0;      // user stacks named late, or not at all
    uint64_t samples_missed = 0;        // of run queues: due, but they did not come
    uint64_t unseen = 0;                // that the kernel counts, but ran no program for; at least
    uint64_t unresolved = 0;            // ids without a name; set when the report is made
    std::vector<std::string> fallbacks; // what serves in place of what, and why

    [[nodiscard]] bool clean() const;
    bool operator==(const Loss&) const = default;
};

// One counter of the ledger: its key in JSON and what it means to a reader.
struct LossCounter {
    std::string_view key;
    uint64_t Loss::*count;
    std::string_view meaning; // completes "N …"
};
const std::vector<LossCounter>& loss_counters();

struct ProgramCost {
    std::string name;
    uint64_t run_cnt = 0;
    uint64_t run_time_ns = 0;
    bool operator==(const ProgramCost&) const = default;
};

// The tool's own cost over the window.
struct Overhead {
    bool timed = false; // run_time_ns was measured (--overhead)
    std::vector<ProgramCost> programs;
    uint64_t cpu_ns = 0; // user and system time of vtrace itself
    uint64_t rss_bytes = 0;
    uint64_t startup_ns = 0; // from the first instruction of main to the start of the first window
    bool operator==(const Overhead&) const = default;
};

struct Snapshot {
    HostFacts host;
    int64_t start_ns = 0; // ns since 1970
    uint64_t duration_ns = 0;
    CgroupFacts cgroups;
    std::vector<EntityFact> entities; // in them
    SchedSnapshot sched;
    std::vector<CgroupQuota> quotas;
    RunqSnapshot runq;
    StackSnapshot stacks;
    StateSnapshot states;
    KvmSnapshot kvm;
    BlockSnapshot block;
    MemorySnapshot memory;
    TcpSnapshot tcp;
    IrqSnapshot irq;
    DropSnapshot drops;
    NetqSnapshot netq;
    std::vector<Knob> knobs; // of the host
    Loss loss;
    Overhead overhead;
    bool operator==(const Snapshot&) const = default;
};

// One JSON document; names keep their raw bytes.
std::string save_snapshot(const Snapshot& snapshot);
// Fails on anything that save_snapshot did not write; safe on hostile input.
Result<Snapshot> load_snapshot(std::string_view saved);

} // namespace vtrace
