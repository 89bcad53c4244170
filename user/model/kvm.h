// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/exit_reasons.h"
#include "model/histogram.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vtrace {

// Of an exit from a guest; summed, in ns.
struct ExitParts {
    uint64_t kernel = 0;  // on a CPU, in the kernel
    uint64_t vmm = 0;     // in the VMM, asleep or not, but for its waits
    uint64_t blocked = 0; // asleep in the kernel
    uint64_t waited = 0;  // for a CPU

    [[nodiscard]] uint64_t sum() const { return kernel + vmm + blocked + waited; }
    ExitParts& operator+=(const ExitParts& other);
    bool operator==(const ExitParts&) const = default;
};

// What a vCPU, or a VM, did of one thing in the window.
struct KvmFigure {
    uint64_t vm = 0;    // EntityFact::vm; 0: events that found no room, of any VM
    uint32_t tid = 0;   // of the vCPU; 0: of the VM as a whole
    uint32_t kind = 0;  // enum vt_kvm_kind
    uint64_t code = 0;  // by the kind
    uint32_t isa = 0;   // of exits: whose code it is
    uint32_t flags = 0; // VT_KVM_IS_MMIO and the like
    uint64_t count = 0;
    uint64_t to_vmm = 0; // of them went to the VMM
    uint64_t amount = 0; // bytes
    ExitParts parts;
    Histogram time; // of those that have ended
    bool operator==(const KvmFigure&) const = default;
};

// Why the vCPU left its guest. On SVM the code of a memory fault does not tell that an access was emulated as
// memory-mapped I/O, but KVM's tracepoints of that do.
ExitReason reason_of_exit(const KvmFigure& exit);

// An exit that had not ended when the window did.
struct OpenExit {
    uint64_t ns = 0; // so far
    uint64_t code = 0;
    uint32_t isa = 0;
    bool in_vmm = false;
    bool operator==(const OpenExit&) const = default;
};

// A thread that ran a vCPU.
struct KvmVcpu {
    uint64_t vm = 0;
    uint32_t tid = 0;
    uint64_t guest_ns = 0; // in the guest, in the window
    std::optional<OpenExit> open;
    std::optional<OpenExit> carried; // open as the window began: that much of it was before
    bool operator==(const KvmVcpu&) const = default;
};

// A thread of a VM, or of the kernel for it.
struct KvmThread {
    uint64_t vm = 0;
    uint32_t tid = 0;
    std::string role; // VmThread::role
    bool operator==(const KvmThread&) const = default;
};

// What the host's memory management did to a VM: of the process of its VMM.
struct KvmMemory {
    uint64_t vm = 0;
    uint64_t rss_bytes = 0; // at the end of the window, as the next two
    uint64_t swapped_bytes = 0;
    std::optional<uint64_t> shared_bytes; // merged by KSM; empty: not told, as the last two
    uint64_t minor_faults = 0;            // in the window, as what follows
    uint64_t major_faults = 0;
    std::optional<uint64_t> reclaimed_bytes; // of its cgroup, whoever's they were
    std::optional<uint64_t> stalled_ns;      // some task of its cgroup waited for memory
    bool operator==(const KvmMemory&) const = default;
};

struct KvmSnapshot {
    std::string flavour;     // what implements KVM: kvm_amd, kvm_intel …
    bool tells_exits = true; // it has kvm_exit and kvm_entry
    std::vector<KvmVcpu> vcpus;
    std::vector<KvmThread> threads;
    std::vector<KvmFigure> figures;
    std::vector<KvmMemory> memory;
    bool operator==(const KvmSnapshot&) const = default;
};

} // namespace vtrace
