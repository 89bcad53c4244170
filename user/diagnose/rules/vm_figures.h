// SPDX-License-Identifier: GPL-2.0-only
// What several rules about VMs ask of the reports.
#pragma once

#include "diagnose/rule.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace vtrace {

// Times have no count of events: a millisecond stands for one. The scheduler gives a thread a few of them at a stretch
// (base_slice_ns), so a handful may be a single wait.
uint64_t milliseconds(double ns);

// A finding of a share (0 to 1) of the time of a VM's vCPUs, which was `ns`.
Finding finding_of_time(const Context& context, const Row& vcpu, Severity severity,
                        const std::string& what, double share);

// A VM's row in the report of `vcpu`; null if there is none, or its vCPUs had no time.
const Row* vcpu_row(const Facts& facts, const Entity& vm);

// How the waits of vCPUs for a CPU are divided. Shares (0 to 1) are of the time of all its vCPUs.
struct VcpuWaits {
    double share = 0;         // able to run, without a CPU
    double behind_own = 0;    // of that: its iothreads, vhost threads and the like had the CPU
    double behind_vcpus = 0;  // of that: other vCPUs of its own
    double behind_nobody = 0; // of that: CPUs that woke up, interrupts, the hypervisor above
    double behind_culprit = 0;
    const Row* culprit = nullptr; // who else held the CPU the longest; null if nobody is known
    const Row* role = nullptr;    // which of its own threads, apart from vCPUs, ran the most
};

// Of a row of `vcpu`. What held CPUs is known of all threads of the VM in sum: the vCPUs' part is taken to be divided alike,
// and what was behind threads of the VM itself as long as these ran; a vCPU does not wait behind itself.
VcpuWaits waits_of(const Row& vcpu);

// So many exits, or accesses to devices, and what they took of the time of vCPUs, waits for a CPU apart.
struct VcpuCost {
    uint64_t count = 0;
    double ns = 0;

    VcpuCost& operator+=(const VcpuCost& other)
    {
        count += other.count;
        ns += other.ns;
        return *this;
    }
};

using VcpuCosts = std::map<std::string, VcpuCost, std::less<>>; // by class, or by device

VcpuCost sum_of(const VcpuCosts& costs);

// What took the most time; there has to be one.
const VcpuCosts::value_type& costliest(const VcpuCosts& costs);

// Of a port's or an address' row of `kvmio`: what went to the VMM.
VcpuCost vmm_accesses(const Row& access);

// "its own quota: 0.2 % of its vCPUs' time"
std::string ruled_out_of(const std::string& what, double share);

} // namespace vtrace
