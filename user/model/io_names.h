// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <string_view>

namespace vtrace {

// Devices of x86 guests, as QEMU (pc, q35 and microvm), Firecracker and Cloud Hypervisor lay them out. What
// is there is for the VMM and the guest's firmware to decide, so a name is that of the usual device: of two
// that are usual, that of both. At most 16 columns.

// Of what PCI's base address registers and its configuration space (ECAM) are for.
inline constexpr std::string_view kPciDevice = "PCI device";
// That, or a device that is not on PCI: where QEMU has the one, Firecracker has the other.
inline constexpr std::string_view kPciOrVirtioMmio = "PCI/virtio-mmio";

// The usual device at an I/O port; empty if none is usual.
std::string_view port_name(uint16_t port);

// The usual device at a guest-physical address, likewise. None is above 4 GiB: most devices there are on PCI,
// but Cloud Hypervisor has others at the end of the address space (those of ACPI, vmm/src/device_manager.rs),
// and where that is depends on the host.
std::string_view address_name(uint64_t address);

} // namespace vtrace
