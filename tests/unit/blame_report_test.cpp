// SPDX-License-Identifier: GPL-2.0-only
#include "render/blame_text.h"
#include "render/json.h"
#include "samples.h"
#include "support.h"
#include "tools/blame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace vtrace {
namespace {

using test::histogram;
using testing::HasSubstr;
using testing::Not;

constexpr uint64_t kMs = 1'000'000;

OwnerTime part(uint64_t victim, std::string_view about, uint64_t ns, OwnerId culprit = {})
{
    return {.owner = {.cgroup_id = victim},
            .about = std::string(about),
            .culprit = std::move(culprit),
            .time = histogram({{ns, 1}})};
}

// Cgroup 21 waits behind everything that there is, 22 behind its own quota.
Snapshot blame_snapshot()
{
    Snapshot snapshot = test::grouped_snapshot();
    snapshot.sched.times = {test::waits(21, histogram({{1000 * kMs, 1}})),
                            test::waits(22, histogram({{400 * kMs, 2}})),
                            part(21, kThrottled, 50 * kMs),
                            part(21, kSelf, 100 * kMs),
                            part(21, kNeighbour, 500 * kMs, {.cgroup_id = 22}),
                            part(21, kNeighbour, 200 * kMs, {.cgroup_id = 1}),
                            part(21, kNeighbour, 40 * kMs, {.kthread = "ksoftirqd"}),
                            part(21, kNeighbours, 30 * kMs),
                            part(21, kIdle, 20 * kMs),
                            part(21, kForcedIdle, 10 * kMs),
                            part(21, kIrq, 15 * kMs),
                            part(21, kSteal, 5 * kMs),
                            part(22, kThrottled, 800 * kMs)};
    snapshot.sched.open = {
        {.wait_ns = 3000 * kMs,
         .cgroup_id = 22,
         .tid = 4711,
         .tgid = 4711,
         .comm = "starved",
         .parts = {
             {.about = std::string(kSelf), .ns = 1000 * kMs},
             {.about = std::string(kNeighbour), .culprit = {.cgroup_id = 21}, .ns = 2000 * kMs}}}};
    return snapshot;
}

Report report_of(const Snapshot& snapshot, const ToolOptions& options = {.group = "cgroup"})
{
    return blame_tool().build(snapshot, options);
}

double metric(const Row& row, std::string_view name)
{
    const auto found = std::ranges::find(row.metrics, name, &Metric::name);
    EXPECT_NE(found, row.metrics.end()) << name;
    return found == row.metrics.end() ? 0 : found->value;
}

TEST(BlameReport, Golden)
{
    const Report report = report_of(blame_snapshot());
    test::expect_golden("blame.txt", render_text(report, {.utf8 = true}, false, blame_text));
    test::expect_golden("blame_colour.txt",
                        render_text(report, {.width = 120, .colour = true}, false, blame_text));
    test::expect_golden("blame.json", render_json(report, false));
}

TEST(BlameReport, ThePartsMakeUpTheWait)
{
    for (const Row& row : report_of(blame_snapshot()).rows) {
        double sum = 0;
        for (const Metric& m : row.metrics)
            sum += m.value;
        EXPECT_EQ(sum, static_cast<double>(row.histogram.sum)) << row.entity.name;
    }
}

TEST(BlameReport, WhatCannotBeToldIsUnknown)
{
    const Report report = report_of(blame_snapshot());
    EXPECT_EQ(metric(report.rows[0], "unknown"), 30 * kMs);
    EXPECT_EQ(metric(report.rows[0], "kernel"), 55 * kMs) << "its threads and interrupts";
    EXPECT_EQ(metric(report.rows[0], "neighbour"), 730 * kMs) << "those without a name, too";
    EXPECT_EQ(metric(report.rows[1], "unknown"), 0);
}

// Two cgroups of one container do not hold each other up: it holds up itself.
TEST(BlameReport, WhatIsOfTheSameEntityIsSelf)
{
    Snapshot snapshot = blame_snapshot();
    snapshot.entities = {{.cgroup_id = 20, .kind = "container", .name = "web"}};
    const Report report = report_of(snapshot, {.group = "container"});
    ASSERT_EQ(report.rows.size(), 1U);
    EXPECT_EQ(metric(report.rows[0], "self"), 600 * kMs);
    EXPECT_EQ(metric(report.rows[0], "neighbour"), 230 * kMs);
    const std::string text = render_text(report, {}, false, blame_text);
    EXPECT_THAT(text, Not(HasSubstr("not in a container"))) << "is no culprit";
}

TEST(BlameReport, PartsOfAWaitThatIsNotOverAreOfTheNextReport)
{
    Snapshot snapshot = blame_snapshot();
    snapshot.sched.times.push_back(part(30, kSelf, kMs));
    EXPECT_EQ(report_of(snapshot).rows.size(), 2U);
}

// A recording has them for another tool.
TEST(BlameReport, TimesOnAndOffACpuAreNoPartsOfWaits)
{
    const Snapshot alone = blame_snapshot();
    Snapshot with_others = alone;
    for (const std::string_view about : {kSlice, kOffCpu})
        with_others.sched.times.push_back({.owner = alone.sched.times.front().owner,
                                           .about = std::string(about),
                                           .time = alone.sched.times.front().time});
    EXPECT_EQ(render_json(report_of(with_others), false), render_json(report_of(alone), false));
}

TEST(BlameReport, NothingWaited)
{
    const Report report = report_of(test::empty_snapshot());
    EXPECT_THAT(render_text(report, {}, false, blame_text), HasSubstr("no wait ended"));
}

} // namespace
} // namespace vtrace
