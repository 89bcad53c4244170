// SPDX-License-Identifier: GPL-2.0-only
#include "tools/measured.h"

#include <algorithm>

namespace vtrace {
namespace {

// With all members named: one that is new does not compile until it is here, too.

SchedParts both(const SchedParts& a, const SchedParts& b)
{
    const auto& [waits, throttling, blame, slices, offcpu, queues, stacks, states, threads] = b;
    return {.waits = a.waits || waits,
            .throttling = a.throttling || throttling,
            .blame = a.blame || blame,
            .slices = a.slices || slices,
            .offcpu = a.offcpu || offcpu,
            .queues = a.queues || queues,
            .stacks = a.stacks || stacks,
            .states = a.states || states,
            .threads = a.threads || threads};
}

KvmParts both(const KvmParts& a, const KvmParts& b)
{
    const auto& [exits, accesses, interrupts, memory, halts, threads] = b;
    return {.exits = a.exits || exits,
            .accesses = a.accesses || accesses,
            .interrupts = a.interrupts || interrupts,
            .memory = a.memory || memory,
            .halts = a.halts || halts,
            .threads = a.threads || threads};
}

BlockParts both(const BlockParts& a, const BlockParts& b)
{
    const auto& [requests, samples, pattern] = b;
    return {.requests = a.requests || requests,
            .samples = a.samples || samples,
            .pattern = a.pattern || pattern};
}

TcpParts both(const TcpParts& a, const TcpParts& b)
{
    const auto& [connects, first_bytes, round_trips, retransmits, sessions] = b;
    return {.connects = a.connects || connects,
            .first_bytes = a.first_bytes || first_bytes,
            .round_trips = a.round_trips || round_trips,
            .retransmits = a.retransmits || retransmits,
            .sessions = a.sessions || sessions};
}

IrqParts both(const IrqParts& a, const IrqParts& b)
{
    const auto& [soft, hard] = b;
    return {.soft = a.soft || soft, .hard = a.hard || hard};
}

} // namespace

Measured both(const Measured& a, const Measured& b)
{
    const auto& [sched, kvm, block, memory, stalls_follow, tcp, irq, softirq_payers, drops, netq,
                 quotas, knobs, any_rows, sample_every] = b;
    return {.sched = both(a.sched, sched),
            .kvm = both(a.kvm, kvm),
            .block = both(a.block, block),
            .memory = a.memory || memory,
            .stalls_follow = a.stalls_follow || stalls_follow,
            .tcp = both(a.tcp, tcp),
            .irq = both(a.irq, irq),
            .softirq_payers = a.softirq_payers || softirq_payers,
            .drops = a.drops || drops,
            .netq = a.netq || netq,
            .quotas = a.quotas || quotas,
            .knobs = a.knobs || knobs,
            .any_rows = a.any_rows || any_rows,
            .sample_every = std::min(a.sample_every, sample_every)};
}

bool only_softirqs(const Measured& measured)
{
    return measured.irq.soft && !measured.irq.hard && !measured.sched.any() &&
           !measured.kvm.any() && !measured.block.any() && !measured.memory &&
           !measured.tcp.any() && !measured.drops && !measured.netq && !measured.quotas;
}

std::string_view controller_of(const Measured& measured)
{
    if (measured.memory)
        return kMemoryController;
    if (measured.tcp.any() || measured.drops || measured.netq)
        return kOnlyV2;
    return measured.block.any() ? kBlockController : kCpuController;
}

} // namespace vtrace
