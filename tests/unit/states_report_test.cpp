// SPDX-License-Identifier: GPL-2.0-only
#include "render/json.h"
#include "render/states_text.h"
#include "render/text.h"
#include "samples.h"
#include "tools/states.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>

namespace vtrace {
namespace {

using test::value;
using testing::DoubleEq;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

constexpr uint64_t kMs = 1'000'000;

StateTimes times(uint64_t lived_ms, uint64_t ran_ms, uint64_t lock_ms)
{
    StateTimes t{.lived = lived_ms * kMs};
    t.ns.at(VT_REASON_NONE) = ran_ms * kMs;
    t.ns.at(VT_REASON_LOCK) = lock_ms * kMs;
    return t;
}

// Two threads of a cgroup, of which one has ended, and another cgroup.
Snapshot snapshot()
{
    Snapshot s = test::empty_snapshot();
    StateTimes web = times(1500, 1000, 400);
    web.stolen = 50 * kMs;
    web.utime = 600 * kMs;
    web.stime = 200 * kMs;
    web.gtime = 200 * kMs;
    StateTimes thread = times(1000, 700, 300);
    thread.utime = 400 * kMs;
    s.states = {
        .owners = {{.owner = {.cgroup_id = 22}, .threads = 3, .times = times(3000, 0, 3000)},
                   {.owner = {.cgroup_id = 21}, .threads = 1, .times = web}},
        .threads = {{.owner = {.cgroup_id = 21},
                     .tid = 4711,
                     .tgid = 4710,
                     .comm = "evil\033[2J",
                     .times = thread}}};
    return s;
}

Report report_of(const Snapshot& s, const ToolOptions& options = {.group = "cgroup"})
{
    return states_tool().build(s, options);
}

TEST(StatesReport, RowsByTimeRun)
{
    const Report report = report_of(snapshot());
    ASSERT_THAT(report.rows, SizeIs(2));
    EXPECT_EQ(report.rows[0].entity.name, "/docker/4f5e0c5a1b2c");
    EXPECT_THAT(value(report.rows[0], "threads"), DoubleEq(1));
    EXPECT_THAT(value(report.rows[1], "lock_share"), DoubleEq(1));
}

TEST(StatesReport, RunningTimeIsDividedAsTheKernelCounts)
{
    const Report report = report_of(snapshot());
    const Row& web = report.rows.at(0);
    EXPECT_THAT(value(web, "user"), DoubleEq(500e6));
    EXPECT_THAT(value(web, "guest"), DoubleEq(250e6));
    EXPECT_THAT(value(web, "system"), DoubleEq(250e6));
    EXPECT_THAT(value(web, "running"), DoubleEq(0));
}

TEST(StatesReport, StaysUndividedWithoutTheKernelsCount)
{
    Snapshot s = snapshot();
    s.states.owners = {{.owner = {.cgroup_id = 21}, .threads = 1, .times = times(10, 10, 0)}};
    EXPECT_THAT(value(report_of(s).rows.at(0), "running"), DoubleEq(10e6));
}

TEST(StatesReport, WhatIsInNoStateIsUnknown)
{
    const Report report = report_of(snapshot());
    const Row& web = report.rows.at(0);
    EXPECT_THAT(value(web, "states_sum"), DoubleEq(1450e6));
    EXPECT_THAT(value(web, "unknown"), DoubleEq(50e6));
    EXPECT_THAT(value(web, "stolen"), DoubleEq(50e6));
    double shares = 0;
    for (const Metric& metric : web.metrics) {
        if (metric.type == Metric::Type::kShare)
            shares += metric.value;
    }
    EXPECT_NEAR(shares, 1, 1e-9);
}

TEST(StatesReport, ThreadsAndThoseThatHaveEnded)
{
    ToolOptions options = {.group = "cgroup"};
    options.threads = true;
    const Report report = report_of(snapshot(), options);
    const std::vector<Row>& threads = report.rows.at(0).rows;
    ASSERT_THAT(threads, SizeIs(2));
    EXPECT_EQ(threads[0].entity.id, 4711);
    EXPECT_EQ(threads[0].entity.pid, 4710);
    EXPECT_EQ(threads[1].entity.name, "(ended)");
    EXPECT_THAT(value(threads[1], "lock"), DoubleEq(100e6));
}

TEST(StatesText, CountsTheRowsBeyondTop)
{
    ToolOptions options = {.group = "cgroup"};
    options.top = 1;
    const Report report = report_of(snapshot(), options);
    ASSERT_THAT(report.rows, SizeIs(1));
    EXPECT_THAT(states_text(report, {}), HasSubstr("\n(1 more)\n"));
}

TEST(StatesText, HasNoEmptyColumnsAndNoTerminalCodes)
{
    ToolOptions options = {.group = "cgroup"};
    options.threads = true;
    const std::string text = states_text(report_of(snapshot(), options), {});
    EXPECT_THAT(text, HasSubstr("LOCK"));
    EXPECT_THAT(text, Not(HasSubstr("DISK")));
    EXPECT_THAT(text, Not(HasSubstr("\033[2J")));
    EXPECT_THAT(text, HasSubstr("Measured: 98.89 %"));
}

TEST(StatesText, SaysThatThereIsNothing)
{
    EXPECT_EQ(states_text(report_of(test::empty_snapshot()), {}), "no thread in this window\n");
}

} // namespace
} // namespace vtrace
