// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>
#include <string_view>

namespace vtrace {

// What the process of a VM says of the VM. Strings are raw bytes, of at most 256. What is not certain is empty.
struct VmName {
    std::string vmm;  // qemu, firecracker, cloud-hypervisor, crosvm or kvmtool; else the comm
    std::string name; // Kata: the sandbox's id; KubeVirt: NAMESPACE/NAME
    std::string uuid;
    // Where the name is from: "qemu -name", "proxmox, id 100", "kubevirt", "kata sandbox",
    // "firecracker --id", "crosvm --name", "kvmtool --name", and if the options do not tell, the cgroup:
    // "libvirt scope" (libvirt leaves out what a host name cannot have, "_" say), "proxmox id",
    // "firecracker jailer".
    std::string source;
    bool operator==(const VmName&) const = default;
};

// `cmdline` is the text of /proc/PID/cmdline: an argument without its zero byte was cut off and does not
// count. `cgroup_path` is that of the process in any hierarchy. All three may be empty or hostile.
// Sources: qemu(1), Firecracker's docs/jailer.md, `crosvm run --help`, `lkvm run --help`,
// libvirt.org/cgroups.html, Kata's docs/design/host-cgroups.md, qm(1) of Proxmox.
VmName vm_name(std::string_view cmdline, std::string_view comm, std::string_view cgroup_path);

} // namespace vtrace
