// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_limits.h"

#include "support.h"

#include <gtest/gtest.h>

#include <string>

namespace vtrace {
namespace {

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

// A container's bind of its own part may come before the mount that has all: paths are from the root.
TEST(CgroupLimits, AreReadWhereAllIsMounted)
{
    const test::TempDir dir;
    const auto line = [&](const char* root, const std::string& name, const char* type) {
        EXPECT_NE(dir.mkdir(name + "/shop"), 0u);
        return "9 1 0:9 " + std::string(root) + " " + dir.path() + "/" + name + " rw - " + type +
               "\n";
    };
    const LimitReader v1(line("/part", "a", "cgroup c rw,cpu") + line("/", "b", "cgroup c rw,cpu") +
                         line("/part", "c", "cgroup c rw,memory") +
                         line("/", "d", "cgroup c rw,memory"));
    for (const char* name : {"a", "b", "c", "d"}) {
        const std::string shop = std::string(name) + "/shop/";
        const bool whole = *name == 'b' || *name == 'd';
        dir.write(shop + "cpu.cfs_quota_us", whole ? "50000\n" : "1\n");
        dir.write(shop + "cpu.cfs_period_us", "100000\n");
        dir.write(shop + "memory.limit_in_bytes", whole ? "4096\n" : "1\n");
    }
    EXPECT_EQ(v1.read("/shop"), (CgroupLimits{.cpus = 0.5, .memory_bytes = 4096}));
    const LimitReader v2(line("/part", "e", "cgroup2 c rw") + line("/", "f", "cgroup2 c rw"));
    dir.write("e/shop/cpu.max", "1 100000\n");
    dir.write("f/shop/cpu.max", "25000 100000\n");
    EXPECT_EQ(v2.read("/shop"), CgroupLimits{.cpus = 0.25});
    dir.write("b/shop/cpu.stat", "nr_periods 3\n");
    dir.write("f/shop/cpu.stat", "nr_periods 4\n");
    EXPECT_EQ(v1.quota_counts("/shop"), QuotaCounts{.periods = 3});
    EXPECT_EQ(v2.quota_counts("/shop"), QuotaCounts{.periods = 4});
}

} // namespace
} // namespace vtrace
