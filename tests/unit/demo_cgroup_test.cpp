// SPDX-License-Identifier: GPL-2.0-only
#include "demo/demo_cgroup.h"

#include "demo/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string_view>

namespace vtrace {
namespace {

using testing::ElementsAre;

TEST(DemoCgroup, LimitsAsV1HasThem)
{
    EXPECT_THAT(cpu_settings(true, 0.2),
                ElementsAre(CgroupSetting{"cpu", "cpu.cfs_period_us", "100000"},
                            CgroupSetting{"cpu", "cpu.cfs_quota_us", "20000"}));
    EXPECT_THAT(memory_settings(true, 4096),
                ElementsAre(CgroupSetting{"memory", "memory.limit_in_bytes", "4096"}));
    EXPECT_THAT(
        read_settings(true, "7:900", 1000),
        ElementsAre(CgroupSetting{"blkio", "blkio.throttle.read_bps_device", "7:900 1000"}));
}

TEST(DemoCgroup, LimitsAsV2HasThem)
{
    EXPECT_THAT(cpu_settings(false, 1.5),
                ElementsAre(CgroupSetting{"cpu", "cpu.max", "150000 100000"}));
    EXPECT_THAT(memory_settings(false, 4096),
                ElementsAre(CgroupSetting{"memory", "memory.max", "4096"}));
    EXPECT_THAT(read_settings(false, "7:900", 1000),
                ElementsAre(CgroupSetting{"blkio", "io.max", "7:900 rbps=1000"}));
}

TEST(DemoCgroup, NamesTellWhoMadeThem)
{
    EXPECT_EQ(demo_pid("vtrace-demo-12"), 12);
    for (const std::string_view other :
         {"vtrace-demo-", "vtrace-demo-12x", "vtrace-demo--1", "my-vtrace-demo-12", "system.slice",
          "vtrace-demo-99999999999"})
        EXPECT_EQ(demo_pid(other), 0) << other;
}

TEST(Scenarios, NamesAreDifferent)
{
    std::set<std::string_view> names;
    for (const Scenario& scenario : scenarios()) {
        EXPECT_TRUE(names.insert(scenario.name).second) << scenario.name;
        EXPECT_EQ(find_scenario(scenario.name), &scenario);
    }
    EXPECT_EQ(find_scenario("cpu"), nullptr);
}

} // namespace
} // namespace vtrace
