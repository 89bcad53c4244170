// SPDX-License-Identifier: GPL-2.0-only
#include "model/io_names.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>

namespace vtrace {
namespace {

struct Range {
    uint64_t first;
    uint64_t last;
    std::string_view name;
};

// What a PC has (QEMU's hw/i386/pc.c, SeaBIOS' src/hw), and what QEMU, SeaBIOS and OVMF add. Firecracker
// (src/vmm/src/device_manager/legacy.rs) has the first serial port and the i8042; Cloud Hypervisor
// (vmm/src/device_manager.rs) these, with the RTC, fw_cfg, both debug consoles, port 0x80, and in the place
// of QEMU's ACPI PM a shutdown register and the PM timer.
constexpr auto kPorts = std::to_array<Range>({
    {0x0000, 0x000f, "DMA"},
    {0x0020, 0x0021, "PIC"},
    {0x0040, 0x0043, "PIT"},
    {0x0060, 0x0060, "i8042"},
    {0x0061, 0x0061, "NMI/speaker"}, // and the PIT's gate, for calibration
    {0x0064, 0x0064, "i8042"},
    {0x0070, 0x0071, "RTC"}, // CMOS
    // Firmware tells of its progress, and Linux waits (arch/x86/kernel/io_delay.c, also with 0xed).
    {0x0080, 0x0080, "POST/I/O delay"},
    {0x0081, 0x008f, "DMA"}, // pages
    {0x0092, 0x0092, "A20"},
    {0x00a0, 0x00a1, "PIC"},
    {0x00b2, 0x00b3, "APM"}, // SMIs; ACPI is enabled by it (SeaBIOS' src/fw/paravirt.h)
    {0x00c0, 0x00df, "DMA"},
    {0x00e9, 0x00e9, "debug console"}, // as in Bochs: QEMU's hw/char/debugcon.c
    {0x00ed, 0x00ed, "I/O delay"},
    {0x00f0, 0x00f0, "FPU"},
    {0x0170, 0x0177, "IDE"},
    {0x01ce, 0x01d0, "VGA"}, // Bochs' extensions: QEMU's hw/display/vga.c
    {0x01f0, 0x01f7, "IDE"},
    {0x0278, 0x027f, "parallel port"},
    {0x02e8, 0x02ef, "serial COM4"},
    {0x02f8, 0x02ff, "serial COM2"},
    {0x0376, 0x0376, "IDE"},
    {0x0378, 0x037f, "parallel port"},
    {0x03b0, 0x03df, "VGA"},
    {0x03e8, 0x03ef, "serial COM3"},
    {0x03f0, 0x03f5, "floppy"},
    {0x03f6, 0x03f6, "IDE"},
    {0x03f7, 0x03f7, "floppy"},
    {0x03f8, 0x03ff, "serial COM1"},
    {0x0402, 0x0402, "debug console"}, // of SeaBIOS (src/hw/serialio.c) and OVMF
    {0x04d0, 0x04d1, "ELCR"},
    {0x0505, 0x0505, "pvpanic"}, // QEMU's hw/misc/pvpanic-isa.c
    {0x0510, 0x051b, "fw_cfg"},  // QEMU's docs/specs/fw_cfg
    // Where SeaBIOS (src/fw/paravirt.c: PIIX4 and ICH9) and OVMF (OvmfPlatforms.h: ICH9) put it. The watchdog
    // is ICH9's (QEMU's include/hw/southbridge/ich9.h).
    {0x0600, 0x0607, "ACPI PM"},
    {0x0608, 0x060b, "ACPI PM timer"},
    {0x060c, 0x065f, "ACPI PM"},
    {0x0660, 0x067f, "TCO watchdog"},
    {0x0700, 0x073f, "SMBus"},          // SeaBIOS' src/fw/pciinit.c
    {0x0a00, 0x0a17, "memory hotplug"}, // QEMU's include/hw/acpi/pc-hotplug.h
    {0x0a18, 0x0a1b, "NVDIMM"},         // QEMU's include/hw/mem/nvdimm.h
    {0x0cc0, 0x0cd7, "PCI hotplug"},    // of q35: QEMU's include/hw/acpi/ich9.h
    {0x0cd8, 0x0cf7, "CPU hotplug"},    // of q35: QEMU's docs/specs/acpi_cpu_hotplug
    {0x0cf8, 0x0cf8, "PCI config"},
    {0x0cf9, 0x0cf9, "reset"},
    {0x0cfa, 0x0cff, "PCI config"},
    // SeaBIOS gives PCI the ports from 0xc000 on, or from 0x1000 on if these are not enough (src/fw/pciinit.c);
    // OVMF those from 0xc000, on q35 from 0x6000 (OvmfPkg/Library/PlatformInitLib/Platform.c).
    {0x1000, 0x5657, kPciDevice},
    {0x5658, 0x5659, "VMware backdoor"}, // Linux' arch/x86/include/asm/vmware.h
    {0x565a, 0xadff, kPciDevice},
    {0xae00, 0xae17, "PCI hotplug"}, // of pc: QEMU's hw/acpi/pcihp.c
    {0xae18, 0xaeff, kPciDevice},
    {0xaf00, 0xaf1f, "CPU hotplug"}, // of pc: QEMU's docs/specs/acpi_cpu_hotplug
    {0xaf20, 0xafdf, kPciDevice},
    {0xafe0, 0xafe3, "ACPI GPE"}, // of pc: QEMU's hw/acpi/piix4.c
    {0xafe4, 0xafff, kPciDevice},
    // Of pc, by OVMF (OvmfPlatforms.h), and by SeaBIOS if the VMM has no ACPI tables (src/fw/biostables.c).
    {0xb000, 0xb007, "ACPI PM"},
    {0xb008, 0xb00b, "ACPI PM timer"},
    {0xb00c, 0xb03f, "ACPI PM"},
    {0xb040, 0xb0ff, kPciDevice},
    {0xb100, 0xb13f, "SMBus"},
    {0xb140, 0xffff, kPciDevice},
});

constexpr auto kAddresses = std::to_array<Range>({
    {0x000a0000, 0x000bffff, "VGA"},
    // SeaBIOS uses these for PCI if there is no RAM (src/fw/pciinit.c), but on q35 has ECAM at 0xb0000000
    // (src/fw/dev-q35.h); OVMF uses them on q35, and has had ECAM here, too: it is at 0xe0000000 now
    // (OvmfPkg/OvmfPkgX64.dsc).
    {0x80000000, 0xbfffffff, kPciDevice},
    // Up to the IOAPIC, PCI's of SeaBIOS (src/config.h, BUILD_PCIMEM_END), OVMF and Cloud Hypervisor
    // (arch/src/x86_64/layout.rs). Of virtio-mmio: Firecracker, from 0xc0000000 on, before that from 0xd0000000
    // (src/vmm/src/arch/x86_64/layout.rs), and microvm, at 0xfeb00000, before that at 0xc0000000 (QEMU's
    // include/hw/i386/microvm.h).
    {0xc0000000, 0xfebfffff, kPciOrVirtioMmio},
    {0xfec00000, 0xfec00fff, "IOAPIC"},
    {0xfec10000, 0xfec10fff, "IOAPIC"}, // microvm's second
    {0xfed00000, 0xfed003ff, "HPET"},
    {0xfed1c000, 0xfed1ffff, "ICH9"},  // chipset configuration: SeaBIOS' src/fw/dev-q35.h
    {0xfed40000, 0xfed44fff, "TPM"},   // QEMU's include/hw/acpi/tpm.h
    {0xfed80000, 0xfed83fff, "IOMMU"}, // AMD's: QEMU's hw/i386/amd_iommu.h
    {0xfed90000, 0xfed90fff, "IOMMU"}, // Intel's: QEMU's include/hw/i386/intel_iommu.h
    {0xfee00000, 0xfeefffff, "local APIC"},
    {0xff800000, 0xffffffff, "flash"}, // OVMF's variables are here: QEMU's hw/i386/pc_sysfw.c
});

constexpr bool sorted_and_disjoint(std::span<const Range> table)
{
    const auto empty = [](const Range& r) { return r.first > r.last; };
    const auto reach = [](const Range& a, const Range& b) { return b.first <= a.last; };
    return std::ranges::none_of(table, empty) &&
           std::ranges::adjacent_find(table, reach) == table.end();
}

static_assert(sorted_and_disjoint(kPorts));
static_assert(sorted_and_disjoint(kAddresses));

std::string_view find(std::span<const Range> table, uint64_t at)
{
    const auto after = std::ranges::upper_bound(table, at, {}, &Range::first);
    if (after == table.begin())
        return {};
    const Range& range = *std::prev(after);
    return at <= range.last ? range.name : std::string_view();
}

} // namespace

std::string_view port_name(uint16_t port)
{
    return find(kPorts, port);
}

std::string_view address_name(uint64_t address)
{
    return find(kAddresses, address);
}

} // namespace vtrace
