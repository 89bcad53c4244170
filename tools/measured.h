// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "collect/block_collector.h"
#include "collect/irq_collector.h"
#include "collect/kvm_collector.h"
#include "collect/sched_collector.h"
#include "collect/tcp_collector.h"
#include "entity/cgroup_hierarchy.h"

#include <chrono>
#include <string_view>

namespace vtrace {

// What is to be measured.
struct Measured {
    SchedParts sched;
    KvmParts kvm;
    BlockParts block;
    bool memory = false; // stalls
    bool stalls_follow =
        false; // and those that a switch shows are looked for by the hook of `sched`
    TcpParts tcp;
    IrqParts irq;
    bool softirq_payers = true; // with irq.soft: whose CPU time they take
    bool drops = false;         // of packets
    bool netq = false;          // packets in network devices; with soft interrupts
    bool quotas = false;        // what the kernel counts of CPU quotas
    bool knobs = false;         // settings of the host
    // Figures by cgroup, and the names of all that lives in cgroups: the rows may be of any kind.
    bool any_rows = false;
    // From a sample of block I/O in flight to the next, at least.
    std::chrono::nanoseconds sample_every = BlockConfig{}.sample_every;
};

// What both measure.
Measured both(const Measured& a, const Measured& b);

// If softirqs are all that is measured: how long and how late they are does not depend on a cgroup hierarchy.
bool only_softirqs(const Measured& measured);

// The controller whose hierarchy it is charged to: for hierarchy_of().
std::string_view controller_of(const Measured& measured);

} // namespace vtrace
