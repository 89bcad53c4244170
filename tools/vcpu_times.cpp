// SPDX-License-Identifier: GPL-2.0-only
#include "tools/vcpu_times.h"

#include "render/units.h"
#include "vtrace/kvm.h"

#include <algorithm>
#include <numeric>
#include <set>

namespace vtrace {
namespace {

size_t index_of(ExitClass kind)
{
    return static_cast<size_t>(std::ranges::find(kExitClasses, kind) - kExitClasses.begin());
}

// As much of `wanted` as is left.
uint64_t take(uint64_t& left, uint64_t wanted)
{
    const uint64_t taken = std::min(left, wanted);
    left -= taken;
    return taken;
}

void add_exit(VcpuAccount& account, const KvmFigure& figure)
{
    const ExitClass kind = reason_of_exit(figure).kind;
    account.exits.at(index_of(kind)) += figure.parts;
    account.counts.at(index_of(kind)) += figure.count;
}

// Where the time of an exit that has not ended goes; nowhere but for halts and what the VMM does: others are short.
ExitParts* parts_of_open(VcpuAccount& account, const OpenExit& exit)
{
    ExitClass kind = exit_reason(exit.isa, exit.code).kind;
    if (kind != ExitClass::kHalt && !exit.in_vmm)
        return nullptr;
    if (kind == ExitClass::kMemoryFault) // faults of memory do not go to the VMM
        kind = ExitClass::kMmio;
    return &account.exits.at(index_of(kind));
}

// An exit that goes on: what of it is in this window, and what of one that ended in it was before.
void add_open(VcpuAccount& account, const KvmVcpu& vcpu)
{
    if (vcpu.open) {
        if (ExitParts* parts = parts_of_open(account, *vcpu.open))
            (vcpu.open->in_vmm ? parts->vmm : parts->blocked) += vcpu.open->ns;
    }
    if (vcpu.carried) {
        if (ExitParts* parts = parts_of_open(account, *vcpu.carried)) {
            uint64_t before = vcpu.carried->ns;
            uint64_t& first = vcpu.carried->in_vmm ? parts->vmm : parts->blocked;
            uint64_t& second = vcpu.carried->in_vmm ? parts->blocked : parts->vmm;
            first -= take(before, first);
            second -= take(before, second);
        }
    }
}

// On a CPU, by KVM's account.
void divide_running(VcpuTimes& times, uint64_t running, const VcpuAccount& account)
{
    times.guest = take(running, account.guest);
    for (size_t i = 0; i < kExitClasses.size(); i++) {
        if (kExitClasses.at(i) != ExitClass::kHalt)
            times.exits.at(i) = take(running, account.exits.at(i).kernel);
    }
    const size_t halt = index_of(ExitClass::kHalt);
    uint64_t halting = account.exits.at(halt).kernel;
    times.polled = take(running, take(halting, account.polled));
    times.wasted = take(running, take(halting, account.wasted));
    times.exits.at(halt) = take(running, halting);
    times.vmm = running;
}

// By the kernel's account, which most kernels make by ticks.
void divide_by_ticks(VcpuTimes& times, uint64_t running, const StateTimes& states)
{
    const auto counted = static_cast<double>(states.utime + states.stime);
    const auto part = [&](uint64_t ns) {
        return counted == 0
                   ? 0
                   : whole_number(static_cast<double>(running) * static_cast<double>(ns) / counted);
    };
    const uint64_t guest = part(std::min(states.gtime, states.utime));
    const uint64_t system = part(states.stime);
    times.guest = take(running, guest);
    times.exits.at(index_of(ExitClass::kOther)) = take(running, system);
    times.vmm = running;
}

} // namespace

uint64_t VcpuTimes::in_exits() const
{
    return std::accumulate(exits.begin(), exits.end(), uint64_t{0});
}

uint64_t VcpuTimes::sum() const
{
    return guest + in_exits() + vmm + polled + wasted + halted + blocked + waited + throttled +
           stolen;
}

VcpuTimes& VcpuTimes::operator+=(const VcpuTimes& other)
{
    for (size_t i = 0; i < exits.size(); i++)
        exits.at(i) += other.exits.at(i);
    for (uint64_t VcpuTimes::*field :
         {&VcpuTimes::lived, &VcpuTimes::guest, &VcpuTimes::vmm, &VcpuTimes::polled,
          &VcpuTimes::wasted, &VcpuTimes::halted, &VcpuTimes::blocked, &VcpuTimes::waited,
          &VcpuTimes::throttled, &VcpuTimes::stolen, &VcpuTimes::unknown})
        this->*field += other.*field;
    return *this;
}

VcpuAccounts vcpu_accounts(const KvmSnapshot& kvm)
{
    VcpuAccounts accounts;
    for (const KvmFigure& figure : kvm.figures) {
        VcpuAccount& account = accounts[{figure.vm, figure.tid}];
        if (figure.kind == VT_KVM_EXIT)
            add_exit(account, figure);
        if (figure.kind == VT_KVM_EVENT && figure.code == VT_KVM_HALT_POLLED)
            account.polled += figure.time.sum;
        if (figure.kind == VT_KVM_EVENT && figure.code == VT_KVM_HALT_SLEPT)
            account.slept += figure.time.sum;
    }
    for (auto& [vcpu, account] : accounts) {
        const ExitParts& halts = account.exits.at(index_of(ExitClass::kHalt));
        account.wasted = account.slept - std::min(account.slept, halts.blocked + halts.waited);
    }
    for (const KvmVcpu& vcpu : kvm.vcpus) {
        VcpuAccount& account = accounts[{vcpu.vm, vcpu.tid}];
        account.guest += vcpu.guest_ns;
        add_open(account, vcpu);
    }
    return accounts;
}

std::string note_of_ended(const VcpuAccounts& accounts, const std::vector<ThreadStates>& threads)
{
    std::set<std::pair<uint64_t, uint32_t>> there;
    for (const ThreadStates& thread : threads)
        there.emplace(thread.owner.vm, thread.tid);
    const auto ended = std::ranges::count_if(accounts, [&](const auto& account) {
        return account.first.second != 0 && !there.contains(account.first);
    });
    if (ended == 0)
        return {};
    return std::to_string(ended) + (ended == 1 ? " vCPU" : " vCPUs") +
           " ended in the window: their time in it is in no figure";
}

VcpuTimes vcpu_times(const StateTimes& states, const VcpuAccount& account, bool tells_exits)
{
    VcpuTimes times{.lived = states.lived,
                    .waited = states.ns.at(VT_REASON_RUNNABLE),
                    .throttled = states.ns.at(VT_REASON_THROTTLED),
                    .stolen = states.stolen,
                    .unknown = states.lived - std::min(states.lived, states.sum())};
    const uint64_t running = states.ns.at(VT_REASON_NONE);
    uint64_t asleep = states.sum() - states.stolen - running - times.waited - times.throttled;
    if (tells_exits) {
        divide_running(times, running, account);
        const ExitParts& halts = account.exits.at(index_of(ExitClass::kHalt));
        // A VMM without an interrupt controller in the kernel sleeps itself.
        times.halted = take(asleep, halts.blocked + halts.vmm);
    } else {
        divide_by_ticks(times, running, states);
        times.halted = take(asleep, account.slept);
    }
    times.blocked = asleep;
    return times;
}

} // namespace vtrace
