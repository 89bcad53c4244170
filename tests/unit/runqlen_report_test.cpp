// SPDX-License-Identifier: GPL-2.0-only
#include "render/runqlen_text.h"
#include "render/text.h"
#include "samples.h"
#include "support.h"
#include "tools/runqlen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vtrace {
namespace {

using test::value;
using testing::DoubleEq;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// Two CPUs and what waited there: two VMs in one cgroup, what is beside them, and another cgroup.
Snapshot queues()
{
    constexpr uint64_t kVms = 21;
    Snapshot s = test::empty_snapshot();
    s.entities = {{.cgroup_id = kVms, .kind = "vm", .name = "web", .vm = 7, .pid = 70},
                  {.cgroup_id = kVms, .kind = "vm", .name = "db", .vm = 8, .pid = 80}};
    s.runq.cpus = {
        {.cpu = 0, .samples = 400, .sum = 800, .lengths = {{0, 100}, {1, 100}, {2, 50}, {4, 150}}},
        {.cpu = 3, .samples = 100, .lengths = {{0, 100}}}};
    s.runq.owners = {{.owner = {.cgroup_id = kVms, .vm = 7}, .cpu = 0, .seen = 100, .sum = 100},
                     {.owner = {.cgroup_id = kVms, .vm = 7}, .cpu = 3, .seen = 50, .sum = 200},
                     {.owner = {.cgroup_id = kVms, .vm = 8}, .cpu = 0, .seen = 40, .sum = 80},
                     {.owner = {.cgroup_id = kVms}, .cpu = 0, .seen = 300, .sum = 600},
                     {.owner = {.cgroup_id = 22}, .cpu = 0, .seen = 20, .sum = 20}};
    return s;
}

Report report_of(const Snapshot& snapshot, const ToolOptions& options = {})
{
    return runqlen_tool().build(snapshot, options);
}

std::vector<std::string> names_of(const Report& report)
{
    std::vector<std::string> names;
    for (const Row& row : report.rows)
        names.push_back(row.entity.name);
    return names;
}

TEST(RunqlenReport, PerCpu)
{
    const Report report = report_of(queues());
    EXPECT_THAT(names_of(report), ElementsAre("cpu 0", "cpu 3")) << "1 and 2 are not online";
    const Row& busy = report.rows[0];
    EXPECT_THAT(value(busy, "length"), DoubleEq(2));
    EXPECT_THAT(value(busy, "waiting"), DoubleEq(0.75));
    EXPECT_EQ(value(busy, "samples"), 400);
    EXPECT_EQ(value(busy, "longest"), 4);
    // 1.96 sqrt(p(1-p)/n)
    EXPECT_THAT(value(busy, "error"), DoubleNear(0.0424, 0.0001));
    const Row& idle = report.rows[1];
    EXPECT_EQ(value(idle, "length"), 0);
    EXPECT_EQ(value(idle, "waiting"), 0);
    EXPECT_THAT(value(idle, "error"), DoubleEq(0.01)) << "none of 100 seen is not quite none";
}

// The window is of five seconds: what did not come says nothing about the queue.
TEST(RunqlenReport, MissedSamplesAreNotIdle)
{
    Snapshot snapshot = queues();
    snapshot.loss.samples_missed = 1'490;
    const Report report = report_of(snapshot);
    EXPECT_EQ(value(report.rows[0], "samples"), 400);
    EXPECT_THAT(render_text(report, {}, false, runqlen_text),
                HasSubstr("ledger: 1490 samples not taken"));
}

TEST(RunqlenReport, ACpuWithoutSamplesIsNotKnown)
{
    Snapshot snapshot = queues();
    snapshot.runq.cpus = {{.cpu = 5}};
    const Report report = report_of(snapshot);
    ASSERT_THAT(report.rows, SizeIs(1));
    EXPECT_EQ(value(report.rows[0], "samples"), 0);
    EXPECT_EQ(value(report.rows[0], "error"), 1) << "all of it";
}

TEST(RunqlenReport, PerCgroup)
{
    const Report report = report_of(queues(), {.group = "cgroup"});
    EXPECT_THAT(names_of(report), ElementsAre("/docker/4f5e0c5a1b2c", "/docker/77aa0c5a1b2c"));
    EXPECT_THAT(value(report.rows[0], "length"), DoubleEq(100. / 400 + 2 + 80. / 400 + 600. / 400));
    EXPECT_THAT(value(report.rows[0], "waiting"), DoubleEq(0.75)) << "the largest of its parts";
    EXPECT_THAT(value(report.rows[1], "length"), DoubleEq(0.05));
}

TEST(RunqlenReport, VmsOfOneCgroupAreToldApart)
{
    const Report report = report_of(queues(), {.group = "vm"});
    EXPECT_THAT(names_of(report), ElementsAre("web", "not in a vm", "db"));
    EXPECT_THAT(value(report.rows[0], "length"), DoubleEq(2.25)) << "of all CPUs together";
    EXPECT_THAT(value(report.rows[0], "waiting"), DoubleEq(0.5)) << "on CPU 3";
    EXPECT_EQ(value(report.rows[0], "samples"), 100) << "of CPU 3";
    EXPECT_THAT(value(report.rows[1], "length"), DoubleEq(1.55));
    EXPECT_THAT(value(report.rows[2], "length"), DoubleEq(0.2));
}

TEST(RunqlenReport, SaysWhatWasNotLookedAt)
{
    Snapshot snapshot = queues();
    snapshot.runq.cpus[0].cut = 1;
    EXPECT_THAT(report_of(snapshot, {.group = "cgroup"}).notes,
                ElementsAre(HasSubstr("not all tasks")));
    EXPECT_THAT(report_of(snapshot).notes, IsEmpty())
        << "a CPU's length is the kernel's own figure";
}

TEST(RunqlenReport, TextFitsTheScreen)
{
    for (const char* group : {"", "cgroup", "vm"}) {
        const Report report = report_of(queues(), {.group = group, .top = 1});
        const std::string text = render_text(report, {}, false, runqlen_text);
        for (const std::string& line : test::lines_of(text))
            EXPECT_LE(line.size(), 80U) << line;
        EXPECT_THAT(text, HasSubstr(" more)")) << group;
        EXPECT_THAT(text, HasSubstr("LENGTH   WAITING    ERROR   SAMPLES"));
    }
    const std::string text = runqlen_text(report_of(queues()), {});
    EXPECT_THAT(text, HasSubstr("2.00     75.0%     4.2%       400\n"));
    EXPECT_THAT(text, Not(HasSubstr("more")));
}

TEST(RunqlenReport, NobodyWaited)
{
    const Report report = report_of(test::empty_snapshot(), {.group = "cgroup"});
    EXPECT_EQ(runqlen_text(report, {}), "no task waited in a sample\n");
}

} // namespace
} // namespace vtrace
