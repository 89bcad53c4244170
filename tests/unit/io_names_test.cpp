// SPDX-License-Identifier: GPL-2.0-only
#include "model/io_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {
namespace {

using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr size_t kColumns = 16;
constexpr uint32_t kLastPort = std::numeric_limits<uint16_t>::max();

struct Expected {
    uint64_t first;
    uint64_t last;
    std::string_view name;
};

std::string_view name_of_port(uint64_t port)
{
    return port_name(static_cast<uint16_t>(port));
}

// All of a range has its name, and what is next to it has not.
void expect_ports(const Expected& range)
{
    for (uint64_t port = range.first; port <= range.last; port++)
        EXPECT_EQ(name_of_port(port), range.name) << std::hex << port;
    if (range.first > 0) {
        EXPECT_NE(name_of_port(range.first - 1), range.name) << std::hex << range.first;
    }
    if (range.last < kLastPort) {
        EXPECT_NE(name_of_port(range.last + 1), range.name) << std::hex << range.last;
    }
}

TEST(PortName, OfAPc)
{
    for (const Expected& range : std::vector<Expected>{
             {0x00, 0x0f, "DMA"},         {0x20, 0x21, "PIC"},
             {0x40, 0x43, "PIT"},         {0x60, 0x60, "i8042"},
             {0x61, 0x61, "NMI/speaker"}, {0x64, 0x64, "i8042"},
             {0x70, 0x71, "RTC"},         {0x80, 0x80, "POST/I/O delay"},
             {0x81, 0x8f, "DMA"},         {0x92, 0x92, "A20"},
             {0xa0, 0xa1, "PIC"},         {0xb2, 0xb3, "APM"},
             {0xc0, 0xdf, "DMA"},         {0xe9, 0xe9, "debug console"},
             {0xed, 0xed, "I/O delay"},   {0xf0, 0xf0, "FPU"},
             {0x170, 0x177, "IDE"},       {0x1ce, 0x1d0, "VGA"},
             {0x1f0, 0x1f7, "IDE"},       {0x278, 0x27f, "parallel port"},
             {0x376, 0x376, "IDE"},       {0x378, 0x37f, "parallel port"},
             {0x3b0, 0x3df, "VGA"},       {0x3f0, 0x3f5, "floppy"},
             {0x3f6, 0x3f6, "IDE"},       {0x3f7, 0x3f7, "floppy"},
             {0x4d0, 0x4d1, "ELCR"},      {0xcf8, 0xcf8, "PCI config"},
             {0xcf9, 0xcf9, "reset"},     {0xcfa, 0xcff, "PCI config"},
         })
        expect_ports(range);
}

TEST(PortName, OfTheSerialPorts)
{
    expect_ports({0x3f8, 0x3ff, "serial COM1"});
    expect_ports({0x2f8, 0x2ff, "serial COM2"});
    expect_ports({0x3e8, 0x3ef, "serial COM3"});
    expect_ports({0x2e8, 0x2ef, "serial COM4"});
}

TEST(PortName, OfWhatVmmsAdd)
{
    for (const Expected& range : std::vector<Expected>{
             {0x402, 0x402, "debug console"},
             {0x505, 0x505, "pvpanic"},
             {0x510, 0x51b, "fw_cfg"},
             {0x600, 0x607, "ACPI PM"},
             {0x608, 0x60b, "ACPI PM timer"},
             {0x60c, 0x65f, "ACPI PM"},
             {0x660, 0x67f, "TCO watchdog"},
             {0x700, 0x73f, "SMBus"},
             {0xa00, 0xa17, "memory hotplug"},
             {0xa18, 0xa1b, "NVDIMM"},
             {0xcc0, 0xcd7, "PCI hotplug"},
             {0xcd8, 0xcf7, "CPU hotplug"},
             {0x5658, 0x5659, "VMware backdoor"},
             {0xae00, 0xae17, "PCI hotplug"},
             {0xaf00, 0xaf1f, "CPU hotplug"},
             {0xafe0, 0xafe3, "ACPI GPE"},
             {0xb000, 0xb007, "ACPI PM"},
             {0xb008, 0xb00b, "ACPI PM timer"},
             {0xb00c, 0xb03f, "ACPI PM"},
             {0xb100, 0xb13f, "SMBus"},
         })
        expect_ports(range);
}

TEST(PortName, OfPci)
{
    for (const Expected& range : std::vector<Expected>{
             {0x1000, 0x5657, kPciDevice},
             {0x565a, 0xadff, kPciDevice},
             {0xae18, 0xaeff, kPciDevice},
             {0xaf20, 0xafdf, kPciDevice},
             {0xafe4, 0xafff, kPciDevice},
             {0xb040, 0xb0ff, kPciDevice},
             {0xb140, 0xffff, kPciDevice},
         })
        expect_ports(range);
}

TEST(PortName, NoneIsUsual)
{
    for (const uint64_t port :
         {0x10U, 0x62U, 0x72U, 0xecU, 0x220U, 0x300U, 0x401U, 0x403U, 0x504U, 0x50fU, 0x51cU,
          0x5ffU, 0x680U, 0x740U, 0xa1cU, 0xcbfU, 0xd00U, 0xfffU})
        EXPECT_THAT(name_of_port(port), IsEmpty()) << std::hex << port;
}

TEST(PortName, IsShort)
{
    for (uint32_t port = 0; port <= kLastPort; port++)
        ASSERT_THAT(name_of_port(port), SizeIs(testing::Le(kColumns))) << std::hex << port;
}

constexpr auto kExpectedAddresses = std::to_array<Expected>({
    {0x000a0000, 0x000bffff, "VGA"},
    {0x80000000, 0xbfffffff, kPciDevice},
    {0xc0000000, 0xfebfffff, kPciOrVirtioMmio},
    {0xfec00000, 0xfec00fff, "IOAPIC"},
    {0xfec10000, 0xfec10fff, "IOAPIC"},
    {0xfed00000, 0xfed003ff, "HPET"},
    {0xfed1c000, 0xfed1ffff, "ICH9"},
    {0xfed40000, 0xfed44fff, "TPM"},
    {0xfed80000, 0xfed83fff, "IOMMU"},
    {0xfed90000, 0xfed90fff, "IOMMU"},
    {0xfee00000, 0xfeefffff, "local APIC"},
    {0xff800000, 0xffffffff, "flash"},
});

TEST(AddressName, BothEnds)
{
    for (const auto& [first, last, name] : kExpectedAddresses) {
        EXPECT_EQ(address_name(first), name) << std::hex << first;
        EXPECT_EQ(address_name(first + (last - first) / 2), name) << std::hex << first;
        EXPECT_EQ(address_name(last), name) << std::hex << last;
        EXPECT_NE(address_name(first - 1), name) << std::hex << first;
        EXPECT_NE(address_name(last + 1), name) << std::hex << last;
        EXPECT_THAT(name, Not(IsEmpty()));
        EXPECT_THAT(name, SizeIs(testing::Le(kColumns)));
    }
}

TEST(AddressName, OfWhatVmmsPlaceThere)
{
    EXPECT_EQ(address_name(0xb0000000), kPciDevice);       // q35's ECAM by SeaBIOS
    EXPECT_EQ(address_name(0xc0001000), kPciOrVirtioMmio); // Firecracker's first device
    EXPECT_EQ(address_name(0xd0000000), kPciOrVirtioMmio); // likewise, of older ones
    EXPECT_EQ(address_name(0xe8000000), kPciOrVirtioMmio); // Cloud Hypervisor's ECAM
    EXPECT_EQ(address_name(0xfeb00e00), kPciOrVirtioMmio); // microvm's last virtio-mmio of 8
    EXPECT_EQ(address_name(0xfee000b0), "local APIC");     // its EOI register
}

TEST(AddressName, NoneIsUsual)
{
    for (const uint64_t address :
         {0x0ULL, 0x9ffffULL, 0xc0000ULL, 0x7fffffffULL, 0xfec01000ULL, 0xfed00400ULL,
          0xfef00000ULL, 0xff7fffffULL, 0x100000000ULL, 0x1000b0000ULL, 0x38000000000ULL, ~0ULL})
        EXPECT_THAT(address_name(address), IsEmpty()) << std::hex << address;
}

} // namespace
} // namespace vtrace
