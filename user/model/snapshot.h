// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "model/histogram.h"

#include <cstdint>
#include <string>
#include <string_view>
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

// A wait that had not ended when the window did.
struct OpenWait {
    uint64_t wait_ns = 0; // so far
    uint64_t cgroup_id = 0;
    uint64_t vm = 0; // as in CgroupWaits
    uint32_t tid = 0;
    uint32_t tgid = 0;
    std::string comm; // raw bytes
    bool operator==(const OpenWait&) const = default;
};

// A single wait above the threshold of --slower.
struct SlowWait {
    int64_t end_ns = 0; // ns since 1970
    uint64_t wait_ns = 0;
    uint64_t cgroup_id = 0;
    uint64_t vm = 0; // as in CgroupWaits
    uint32_t cpu = 0;
    uint32_t tid = 0;
    uint32_t tgid = 0;
    std::string comm;
    uint32_t previous_tid = 0; // who left the CPU; 0 is the idle task
    std::string previous_comm;
};

// The waits of a leaf: of one VM, or of what is in none, in one cgroup.
struct CgroupWaits {
    uint64_t cgroup_id = 0;
    uint64_t vm = 0; // EntityFact::vm; 0 is none, or VMs were not asked for
    Histogram wait;
    bool operator==(const CgroupWaits&) const = default;
};

struct SchedSnapshot {
    bool by_cgroup = false;
    std::vector<CgroupWaits> cgroups; // by_cgroup: those that waited in the window
    Histogram rest;                   // all waits; with by_cgroup those that found no slot
    std::vector<OpenWait> open;
    bool operator==(const SchedSnapshot&) const = default;
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
    uint64_t unresolved = 0;       // ids without a name; set when the report is made
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
    Loss loss;
    Overhead overhead;
    bool operator==(const Snapshot&) const = default;
};

// One JSON document; names keep their raw bytes.
std::string save_snapshot(const Snapshot& snapshot);
// Fails on anything that save_snapshot did not write; safe on hostile input.
Result<Snapshot> load_snapshot(std::string_view saved);

} // namespace vtrace
