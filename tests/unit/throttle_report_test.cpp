// SPDX-License-Identifier: GPL-2.0-only
#include "samples.h"
#include "tools/throttle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vtrace {
namespace {

using test::histogram;
using test::value;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// /shop has a quota; /shop/web inherits it, /shop/db has one of its own. /free has none.
Snapshot shop()
{
    Snapshot s;
    s.cgroups.cgroups = {{.id = 1},
                         {.id = 2, .parent = 1, .name = "shop"},
                         {.id = 3, .parent = 2, .name = "web"},
                         {.id = 4, .parent = 2, .name = "db"},
                         {.id = 5, .parent = 1, .name = "free"}};
    s.quotas = {{.cgroup_id = 2,
                 .quota = CpuQuota{.quota_us = 50'000, .period_us = 100'000},
                 .counts = {.periods = 10, .throttled = 4, .throttled_ns = 90'000'000}},
                {.cgroup_id = 4,
                 .quota = CpuQuota{.quota_us = 20'000, .period_us = 100'000, .burst_us = 5'000},
                 .counts = {.periods = 10,
                            .throttled = 10,
                            .throttled_ns = 800'000'000,
                            .bursts = 1,
                            .burst_ns = 3'000'000}}};
    const auto throttled = [&](uint64_t id, uint64_t ns) {
        s.sched.times.push_back({.owner = {.cgroup_id = id},
                                 .about = std::string(kThrottled),
                                 .time = histogram({{ns, 1}})});
    };
    throttled(2, 10'000'000);
    throttled(3, 20'000'000);
    throttled(4, 80'000'000);
    s.sched.times.push_back(
        {.owner = {.cgroup_id = 5}, .about = std::string(kWait), .time = histogram({{9, 1}})});
    return s;
}

Report report_of(const Snapshot& snapshot, const ToolOptions& options = {.group = "cgroup"})
{
    return throttle_tool().build(snapshot, options);
}

TEST(ThrottleReport, QuotasAndWhoInheritsThem)
{
    const Report report = report_of(shop());
    ASSERT_THAT(report.rows, SizeIs(2));
    const Row& db = report.rows[0];
    EXPECT_EQ(db.entity.name, "/shop/db") << "the longest throttled first";
    EXPECT_EQ(value(db, "throttled_time"), 800e6);
    EXPECT_EQ(value(db, "throttled_share"), 1.0);
    EXPECT_EQ(value(db, "quota"), 20e6);
    EXPECT_EQ(value(db, "burst"), 5e6);
    EXPECT_EQ(db.histogram.sum, 80'000'000U);
    EXPECT_THAT(db.rows, IsEmpty());
    const Row& own = report.rows[1];
    EXPECT_EQ(own.entity.name, "/shop");
    EXPECT_EQ(value(own, "throttled_share"), 0.4);
    EXPECT_EQ(own.histogram.sum, 30'000'000U) << "with those that inherit, without /shop/db";
    ASSERT_THAT(own.rows, SizeIs(1));
    EXPECT_EQ(own.rows[0].entity.name, "/shop/web");
    EXPECT_EQ(own.rows[0].histogram.sum, 20'000'000U);
    EXPECT_THAT(report.notes, IsEmpty());
}

TEST(ThrottleReport, IsCalledByTheContainerThatHasTheQuota)
{
    Snapshot snapshot = shop();
    snapshot.entities = {{.cgroup_id = 4, .kind = "container", .name = "db-1"}};
    const Report report = report_of(snapshot, {.group = "container"});
    ASSERT_THAT(report.rows, SizeIs(2));
    EXPECT_EQ(report.rows[0].entity.name, "db-1");
    EXPECT_EQ(report.rows[1].entity.name, "/shop") << "in no container: the cgroup";
}

TEST(ThrottleReport, ChangedAndEnded)
{
    Snapshot snapshot = shop();
    snapshot.quotas[0].changed = true;
    snapshot.quotas[1].changed = true;
    snapshot.quotas[1].quota.reset();
    snapshot.cgroups.cgroups[3].removed = true;
    const Report report = report_of(snapshot);
    EXPECT_THAT(report.notes, ElementsAre(HasSubstr("/shop was changed"),
                                          HasSubstr("/shop/db was taken off"), HasSubstr("ended")));
    EXPECT_EQ(value(report.rows[0], "quota"), -1) << "it has none now";
}

TEST(ThrottleReport, TextFitsTheScreen)
{
    const TextStyle style;
    const std::string text = throttle_tool().text(report_of(shop()), style);
    for (const char* part :
         {"/shop/db", "0.2", "100.0%", "800ms", "burst of 5.00ms: used in 1 period", "/shop/web",
          "inherited", "40.0%"})
        EXPECT_THAT(text, HasSubstr(part));
    EXPECT_THAT(text, Not(HasSubstr("free")));
    size_t start = 0;
    for (size_t end = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1)
        EXPECT_LE(end - start, style.width) << text.substr(start, end - start);
}

TEST(ThrottleReport, NoQuota)
{
    EXPECT_EQ(throttle_tool().text(report_of({}), {}), "no cgroup here has a CPU quota\n");
}

} // namespace
} // namespace vtrace
