// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/probe.h"

#include "base/files.h"

#include <gtest/gtest.h>
#include <linux/capability.h>

#include <algorithm>
#include <string>

namespace vtrace {
namespace {

constexpr uint64_t bit(int number)
{
    return uint64_t{1} << number;
}

TEST(EffectiveCapabilities, ReadsCapEff)
{
    const auto mask = effective_capabilities("Name:\tbash\n"
                                             "CapInh:\t0000000000000001\n"
                                             "CapPrm:\t000001ffffffffff\n"
                                             "CapEff:\t000000c000000000\n"
                                             "CapBnd:\t000001ffffffffff\n");
    ASSERT_TRUE(mask);
    EXPECT_EQ(*mask, bit(CAP_BPF) | bit(CAP_PERFMON));
}

TEST(EffectiveCapabilities, NoneAndAll)
{
    const auto none = effective_capabilities("CapEff:\t0000000000000000\n");
    ASSERT_TRUE(none);
    EXPECT_EQ(*none, 0u);
    const auto all = effective_capabilities("CapEff:\tffffffffffffffff");
    ASSERT_TRUE(all);
    EXPECT_EQ(*all, UINT64_MAX);
}

// The name of a process is in the same text; the kernel escapes its newlines.
TEST(EffectiveCapabilities, IsNotFooledByAName)
{
    const auto mask = effective_capabilities("Name:\tCapEff:\tffff\n"
                                             "Name:\t\\nCapEff:\tffff\n"
                                             "CapEff:\t0000000000000010\n");
    ASSERT_TRUE(mask);
    EXPECT_EQ(*mask, 0x10u);
}

TEST(EffectiveCapabilities, FailsWithoutTheLine)
{
    for (const char* text :
         {"", "\n", "CapPrm:\t000001ffffffffff\n", "CapEff:\t\n", "CapEff:\n", "CapEff: 1\n",
          "CapEff:\txyz\n", "CapEff:\t11112222333344445\n", "xCapEff:\t1\n"})
        EXPECT_FALSE(effective_capabilities(text).has_value()) << text;
}

TEST(EffectiveCapabilities, ReadsThisProcess)
{
    const auto status = read_file("/proc/self/status");
    ASSERT_TRUE(status);
    EXPECT_TRUE(effective_capabilities(*status).has_value());
}

TEST(HasCapability, ItselfOrSysAdmin)
{
    const auto& all = capabilities();
    const auto bpf = std::ranges::find(all, CAP_BPF, &Capability::number);
    const auto perfmon = std::ranges::find(all, CAP_PERFMON, &Capability::number);
    ASSERT_NE(bpf, all.end());
    ASSERT_NE(perfmon, all.end());
    EXPECT_TRUE(has_capability(bit(CAP_BPF), *bpf));
    EXPECT_FALSE(has_capability(bit(CAP_BPF), *perfmon));
    EXPECT_TRUE(has_capability(bit(CAP_SYS_ADMIN), *bpf));
    EXPECT_TRUE(has_capability(bit(CAP_SYS_ADMIN), *perfmon));
    EXPECT_FALSE(has_capability(0, *bpf));
    EXPECT_FALSE(has_capability(~(bit(CAP_BPF) | bit(CAP_SYS_ADMIN)), *bpf));
}

TEST(Capabilities, ToolsNeedBpfAndPerfmonOnly)
{
    for (const Capability& capability : capabilities())
        EXPECT_EQ(capability.required,
                  capability.number == CAP_BPF || capability.number == CAP_PERFMON)
            << capability.name;
}

} // namespace
} // namespace vtrace
