// SPDX-License-Identifier: GPL-2.0-only
// The processes of VMs as a tree like /proc shows them. All of it may vanish, be denied or lie while it
// is read: what cannot be read is not there.
#pragma once

#include "entity/vm_name.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// A kernel thread that its name gives an owner.
struct VmHelper {
    uint32_t tid = 0;
    std::string role;          // vhost or kvm
    uint32_t owner = 0;        // the thread that caused it
    bool in_namespace = false; // the owner is as its own PID namespace counts
    uint64_t start_time = 0;
    bool operator==(const VmHelper&) const = default;
};

// The process of a VM: what holds its descriptor.
struct VmProcess {
    uint32_t pid = 0;
    uint64_t start_time = 0; // clock ticks since boot: tells a pid that was used again
    VmName name;
    std::vector<VmHelper> helpers; // kernel threads that serve it, outside of the process
};

// A thread of a VM's process, or a helper of it.
struct VmThread {
    uint32_t tid = 0;
    // "vcpu N", "iothread", "vhost", "kvm" or "emulator"; "thread" if it is not known which. N is as the
    // VMM counts; where it gives its threads no names, the id that KVM knows (x86: the APIC id).
    std::string role;
    bool operator==(const VmThread&) const = default;
};

// Whether the process has descriptors of a VM of KVM and of a vCPU; nothing if its descriptors may not be
// looked at. One that has gone has none.
std::optional<bool> holds_vm(const std::string& proc, uint32_t pid);

struct VmPids {
    std::vector<uint32_t> pids; // ascending
    size_t denied = 0;          // processes but init whose descriptors may not be looked at
};

// All processes that hold a VM.
VmPids vm_pids(const std::string& proc = "/proc");

// All kernel threads that serve VMs, by their names: vhost-TID (before 6.4; since then vhost is a thread
// of the process), kvm-pit/PID, kvm-nx-lpage-recovery-TID (5.17 to 6.12: before, the name is cut off,
// and since then it is a thread of the process).
std::vector<VmHelper> vm_helpers(const std::string& proc = "/proc");

// Nothing if the process has gone or ends. `helpers` are those of all VMs: one look for many.
std::optional<VmProcess> read_vm(const std::string& proc, uint32_t pid,
                                 std::string_view cgroup_path,
                                 const std::vector<VmHelper>& helpers);
std::optional<VmProcess> read_vm(const std::string& proc, uint32_t pid,
                                 std::string_view cgroup_path);

// True while a thread of the process lives: of the one that started then.
bool process_lives(const std::string& proc, uint32_t pid, uint64_t start_time);

// When the process started, in clock ticks since boot. Nothing if it has gone.
std::optional<uint64_t> process_start_time(const std::string& proc, uint32_t pid);

// The role that the name of a VMM's thread tells; empty if it tells none.
std::string role_of_name(std::string_view comm);

// All threads of the process and its helpers; none if it has gone. Of a VMM that gives its threads no
// names (QEMU without debug-threads=on) a vCPU is known while it sleeps in KVM: ask again for the rest.
std::vector<VmThread> vm_threads(const std::string& proc, const VmProcess& vm);

} // namespace vtrace
