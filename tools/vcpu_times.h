// SPDX-License-Identifier: GPL-2.0-only
// Where the time of a vCPU went: what the scheduler knows of its thread, divided by what KVM tells.
#pragma once

#include "model/exit_reasons.h"
#include "model/snapshot.h"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace vtrace {

// In ns. The states add up to what the thread lived in the window, but for rounding.
struct VcpuTimes {
    uint64_t lived = 0;
    uint64_t guest = 0;
    // On a CPU in the kernel, by class; of halts what is no polling.
    std::array<uint64_t, kExitClasses.size()> exits{};
    uint64_t vmm = 0;     // on a CPU, otherwise
    uint64_t polled = 0;  // waiting for an interrupt on a CPU: one came
    uint64_t wasted = 0;  // likewise: none came, so that it slept after all
    uint64_t halted = 0;  // asleep until an interrupt
    uint64_t blocked = 0; // asleep for another reason
    uint64_t waited = 0;  // for a CPU
    uint64_t throttled = 0;
    uint64_t stolen = 0;
    uint64_t unknown = 0;

    [[nodiscard]] uint64_t in_exits() const;
    [[nodiscard]] uint64_t sum() const;
    VcpuTimes& operator+=(const VcpuTimes& other);
    bool operator==(const VcpuTimes&) const = default;
};

// What KVM says of one vCPU.
struct VcpuAccount {
    uint64_t guest = 0;
    std::array<ExitParts, kExitClasses.size()> exits{};
    std::array<uint64_t, kExitClasses.size()> counts{};
    uint64_t polled = 0; // in halts that ended while KVM polled
    uint64_t slept = 0;  // in halts that slept, their polling included
    uint64_t wasted = 0; // of that: on a CPU
};

// By VM and thread.
using VcpuAccounts = std::map<std::pair<uint64_t, uint32_t>, VcpuAccount>;
VcpuAccounts vcpu_accounts(const KvmSnapshot& kvm);

// What there is to say of vCPUs whose threads had ended when the window did; empty if there are none.
std::string note_of_ended(const VcpuAccounts& accounts, const std::vector<ThreadStates>& threads);

// Without kvm_exit the kernel's own accounts of the thread stand in: the guest is its guest time, and all of
// its system time is of class other.
VcpuTimes vcpu_times(const StateTimes& states, const VcpuAccount& account, bool tells_exits);

} // namespace vtrace
