// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_limits.h"

#include <gtest/gtest.h>

#include <string>

namespace vtrace {
namespace {

TEST(CgroupLimits, CpuMax)
{
    EXPECT_EQ(cpus_of_cpu_max("30000 100000\n"), 0.3);
    EXPECT_EQ(cpus_of_cpu_max("250000 100000\n"), 2.5);
    for (const char* none : {"", "\n", "max 100000\n", "30000\n", "30000 0\n", "a b\n", "1 2 3\n"})
        EXPECT_EQ(cpus_of_cpu_max(none), std::nullopt) << none;
}

TEST(CgroupLimits, Cfs)
{
    EXPECT_EQ(cpus_of_cfs("20000\n", "100000\n"), 0.2);
    EXPECT_EQ(cpus_of_cfs("-1\n", "100000\n"), std::nullopt);
    EXPECT_EQ(cpus_of_cfs("20000\n", ""), std::nullopt);
}

TEST(CgroupLimits, Memory)
{
    EXPECT_EQ(memory_limit("268435456\n"), 268435456u);
    EXPECT_EQ(memory_limit("0\n"), 0u);
    for (const char* none : {"", "max\n", "9223372036854771712\n", "-1\n", "12 MiB\n"})
        EXPECT_EQ(memory_limit(none), std::nullopt) << none;
}

TEST(CgroupLimits, WhatIsNotThereIsNoLimit)
{
    EXPECT_EQ(LimitReader("").read("/no/such/cgroup"), CgroupLimits{});
}

} // namespace
} // namespace vtrace
