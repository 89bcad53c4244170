// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cpu_quota.h"

#include <gtest/gtest.h>

namespace vtrace {
namespace {

TEST(CpuQuota, CpuMax)
{
    EXPECT_EQ(quota_of_cpu_max("30000 100000\n", ""),
              (CpuQuota{.quota_us = 30000, .period_us = 100000}));
    EXPECT_EQ(quota_of_cpu_max("30000 100000\n", "5000\n"),
              (CpuQuota{.quota_us = 30000, .period_us = 100000, .burst_us = 5000}));
    EXPECT_EQ(quota_of_cpu_max("250000 100000\n", "0\n")->cpus(), 2.5);
    for (const char* none : {"", "\n", "max 100000\n", "30000\n", "30000 0\n", "a b\n", "1 2 3\n"})
        EXPECT_EQ(quota_of_cpu_max(none, "0\n"), std::nullopt) << none;
}

TEST(CpuQuota, Cfs)
{
    EXPECT_EQ(quota_of_cfs("20000\n", "100000\n", "")->cpus(), 0.2);
    EXPECT_EQ(quota_of_cfs("20000\n", "100000\n", "7\n")->burst_us, 7U);
    EXPECT_EQ(quota_of_cfs("-1\n", "100000\n", "0\n"), std::nullopt);
    EXPECT_EQ(quota_of_cfs("20000\n", "", ""), std::nullopt);
}

TEST(QuotaCounts, OfV1)
{
    EXPECT_EQ(quota_counts("nr_periods 10\nnr_throttled 7\nthrottled_time 123456789\nnr_bursts 2\n"
                           "burst_time 55\n"),
              (QuotaCounts{.periods = 10,
                           .throttled = 7,
                           .throttled_ns = 123456789,
                           .bursts = 2,
                           .burst_ns = 55}));
}

TEST(QuotaCounts, OfV2)
{
    EXPECT_EQ(quota_counts("usage_usec 5\nuser_usec 4\nsystem_usec 1\nnr_periods 10\n"
                           "nr_throttled 7\nthrottled_usec 1234\nnr_bursts 2\nburst_usec 3\n"),
              (QuotaCounts{.periods = 10,
                           .throttled = 7,
                           .throttled_ns = 1234000,
                           .bursts = 2,
                           .burst_ns = 3000}));
}

// Without the cpu controller v2 tells of the usage only.
TEST(QuotaCounts, NotTold)
{
    for (const char* none :
         {"", "usage_usec 5\n", "nr_periods -1\n", "nr_periods\n", "nr_periods 1 2\n"})
        EXPECT_EQ(quota_counts(none), std::nullopt) << none;
    EXPECT_EQ(quota_counts("nr_periods 1\nthrottled_usec 18446744073709551615\n"),
              QuotaCounts{.periods = 1})
        << "too large is not known";
}

} // namespace
} // namespace vtrace
