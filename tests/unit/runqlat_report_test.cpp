// SPDX-License-Identifier: GPL-2.0-only
#include "samples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace vtrace {
namespace {

using test::grouped_snapshot;
using test::histogram;
using test::report_of;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<std::string> names(const Report& report)
{
    std::vector<std::string> all;
    for (const Row& row : report.rows)
        all.push_back(row.entity.name);
    return all;
}

// `n` cgroups, known by name, the i-th with a total of about (i + 1) us.
Snapshot many_cgroups(uint64_t n)
{
    Snapshot snapshot;
    snapshot.cgroups.cgroups = {{.id = 1}};
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t id =
            100 + (i * 7) % n; // not in the order of their totals, if 7 does not divide n
        snapshot.cgroups.cgroups.push_back({.id = id, .parent = 1, .name = std::to_string(id)});
        snapshot.sched.times.push_back(
            test::waits(id, histogram({{(id - 99) * 1'000, 1}, {id, 3}})));
    }
    return snapshot;
}

TEST(RunqlatReport, HostIsOneRow)
{
    const Snapshot snapshot = test::host_snapshot();
    const Report report = report_of(snapshot);
    EXPECT_EQ(report.tool, "runqlat");
    EXPECT_EQ(report.metric, "wait");
    EXPECT_EQ(report.group, "");
    ASSERT_THAT(report.rows, SizeIs(1));
    EXPECT_EQ(report.rows[0].entity.kind, "host");
    EXPECT_EQ(report.rows[0].entity.name, snapshot.host.name);
    EXPECT_EQ(report.rows[0].entity.id, 0u);
    EXPECT_EQ(report.rows[0].histogram, test::rest_of(snapshot));
    EXPECT_EQ(report.host, snapshot.host);
    EXPECT_EQ(report.start_ns, snapshot.start_ns);
    EXPECT_EQ(report.duration_ns, snapshot.duration_ns);
    EXPECT_EQ(report.overhead, snapshot.overhead);
    EXPECT_EQ(report.loss, snapshot.loss) << "the host is no unresolved cgroup";
}

// Of what was measured by cgroup, as a recording is.
TEST(RunqlatReport, HostIsTheSumOfItsCgroups)
{
    const Snapshot snapshot = grouped_snapshot();
    const Report report = test::tool("runqlat").build(snapshot, {});
    ASSERT_THAT(report.rows, SizeIs(1));
    EXPECT_EQ(report.rows[0].entity.kind, "host");
    Histogram all;
    for (const OwnerTime& time : snapshot.sched.times)
        all.merge(time.time);
    EXPECT_EQ(report.rows[0].histogram, all);
}

TEST(RunqlatReport, NothingWaited)
{
    for (const std::string group : {"", "cgroup"}) {
        const Report report = report_of(test::empty_snapshot(), {.group = group});
        EXPECT_THAT(report.rows, IsEmpty());
        EXPECT_EQ(report.group, group);
        EXPECT_EQ(report.rows_left_out, 0u);
    }
}

TEST(RunqlatReport, RowsAreOrderedByTotal)
{
    const Report report = report_of(grouped_snapshot());
    // In us: 22 has 13,460,000; 21 has 2,770,000; 1 has 1,400; 99 has 49; other 30; 30 has 0.015.
    EXPECT_THAT(names(report), ElementsAre("/docker/77aa0c5a1b2c", "/docker/4f5e0c5a1b2c", "/",
                                           "cgroup:99", "other", "/machine.slice"));
    EXPECT_EQ(report.group, "cgroup");
    EXPECT_TRUE(report.rows[5].entity.ended);
    EXPECT_FALSE(report.rows[0].entity.ended);
}

TEST(RunqlatReport, RowsKeepTheirHistograms)
{
    const Snapshot snapshot = grouped_snapshot();
    for (const Row& row : report_of(snapshot).rows) {
        const auto waits = std::ranges::find_if(snapshot.sched.times, [&](const OwnerTime& time) {
            return time.owner.cgroup_id == row.entity.id;
        });
        ASSERT_NE(waits, snapshot.sched.times.end());
        EXPECT_EQ(row.histogram, waits->time) << row.entity.name;
    }
}

TEST(RunqlatReport, WhatFoundNoSlotIsOther)
{
    Snapshot snapshot = grouped_snapshot();
    const Report report = report_of(snapshot);
    const auto is_other = [](const Row& row) { return row.entity.kind == "other"; };
    const auto other = std::ranges::find_if(report.rows, is_other);
    ASSERT_NE(other, report.rows.end());
    EXPECT_EQ(other->entity.name, "other");
    EXPECT_EQ(other->entity.id, 0u);
    EXPECT_EQ(other->histogram, test::rest_of(snapshot));

    snapshot.sched.times.pop_back();
    EXPECT_TRUE(std::ranges::none_of(report_of(snapshot).rows, is_other));
}

TEST(RunqlatReport, UnresolvedIdsAreNamedAndCounted)
{
    Snapshot snapshot = grouped_snapshot();
    const Report report = report_of(snapshot);
    EXPECT_EQ(report.loss.unresolved, 1u) << "99, and not `other`";
    EXPECT_EQ(report.rows[3].entity.name, "cgroup:99");
    EXPECT_EQ(report.rows[3].entity.id, 99u);
    EXPECT_EQ(report.rows[3].entity.cgroup, "");

    snapshot.cgroups.cgroups.clear();
    EXPECT_EQ(report_of(snapshot).loss.unresolved, 5u);
}

TEST(RunqlatReport, UnresolvedIdsLeftOutByTopAreCounted)
{
    EXPECT_EQ(report_of(grouped_snapshot(), {.top = 1}).loss.unresolved, 1u);
}

TEST(RunqlatReport, TheLedgerIsTheSnapshots)
{
    const Snapshot snapshot = test::lossy_snapshot();
    const Report report = report_of(snapshot);
    for (const LossCounter& counter : loss_counters())
        EXPECT_EQ(report.loss.*counter.count, snapshot.loss.*counter.count) << counter.key;
    EXPECT_EQ(report.loss.fallbacks, snapshot.loss.fallbacks);
}

TEST(RunqlatReport, TopMergesTheRestExactly)
{
    const Snapshot snapshot = many_cgroups(50);
    const Report all = report_of(snapshot, {.top = 1'000'000});
    ASSERT_THAT(all.rows, SizeIs(50));
    for (const size_t top : {1U, 2U, 7U, 49U}) {
        const Report report = report_of(snapshot, {.top = top});
        ASSERT_THAT(report.rows, SizeIs(top));
        EXPECT_EQ(report.rows_left_out, 50 - top);
        uint64_t count = 0;
        uint64_t sum = 0;
        uint64_t max = 0;
        for (size_t i = 0; i < all.rows.size(); i++) {
            const Histogram& h = all.rows[i].histogram;
            if (i < top) {
                EXPECT_EQ(report.rows[i].entity.name, all.rows[i].entity.name);
                EXPECT_EQ(report.rows[i].histogram, h);
                continue;
            }
            count += h.count();
            sum += h.sum;
            max = std::max(max, h.max);
        }
        EXPECT_EQ(report.left_out.count(), count);
        EXPECT_EQ(report.left_out.sum, sum);
        EXPECT_EQ(report.left_out.max, max);
    }
    for (const size_t top : {50U, 51U}) {
        const Report report = report_of(snapshot, {.top = top});
        EXPECT_THAT(report.rows, SizeIs(50));
        EXPECT_EQ(report.rows_left_out, 0u);
        EXPECT_EQ(report.left_out.count(), 0u);
    }
}

TEST(RunqlatReport, TextShows20RowsAndJsonAll)
{
    EXPECT_THAT(report_of(many_cgroups(20)).rows, SizeIs(20));
    EXPECT_EQ(report_of(many_cgroups(20)).rows_left_out, 0u);
    EXPECT_THAT(report_of(many_cgroups(50)).rows, SizeIs(20));
    EXPECT_EQ(report_of(many_cgroups(50)).rows_left_out, 30u);
    EXPECT_THAT(report_of(many_cgroups(50), {.json = true}).rows, SizeIs(50));
    EXPECT_THAT(report_of(many_cgroups(50), {.top = 3, .json = true}).rows, SizeIs(3));
}

TEST(RunqlatReport, OpenWaitsAreLongestFirst)
{
    Snapshot snapshot = test::waiting_snapshot();
    std::ranges::sort(snapshot.sched.open, {}, &OpenWait::wait_ns); // the shortest first
    const Report report = report_of(snapshot);
    ASSERT_THAT(report.open, SizeIs(7));
    EXPECT_TRUE(std::ranges::is_sorted(report.open, std::greater{},
                                       [](const OpenRow& r) { return r.wait.wait_ns; }));
    EXPECT_EQ(report.open.front().wait.comm, "starved");
    EXPECT_EQ(report.open.front().entity.name, "/docker/4f5e0c5a1b2c");
}

TEST(RunqlatReport, OpenWaitsHaveTheirCgroup)
{
    const Report report = report_of(test::waiting_snapshot());
    ASSERT_THAT(report.open, SizeIs(7));
    EXPECT_EQ(report.open[0].entity.cgroup, "/docker/4f5e0c5a1b2c");
    EXPECT_EQ(report.open[2].entity.name, "cgroup:99");
    EXPECT_TRUE(report.open[4].entity.ended);
}

TEST(RunqlatReport, UnresolvedOpenWaitsAreCounted)
{
    EXPECT_EQ(report_of(test::waiting_snapshot()).loss.unresolved, 1u);
    Snapshot both = grouped_snapshot();
    both.sched.open = test::waiting_snapshot().sched.open;
    EXPECT_EQ(report_of(both).loss.unresolved, 1u) << "99 has a row, too";
}

// The order of equal totals must not depend on the machine: by what was there first.
TEST(RunqlatReport, EqualTotalsKeepTheirOrder)
{
    Snapshot snapshot;
    for (const uint64_t id : {5U, 3U, 9U, 1U})
        snapshot.sched.times.push_back(test::waits(id, histogram({{100, 1}})));
    EXPECT_THAT(names(report_of(snapshot)),
                ElementsAre("cgroup:5", "cgroup:3", "cgroup:9", "cgroup:1"));
}

TEST(Registry, ToolsAreNamedOnceAndComplete)
{
    std::vector<std::string_view> seen;
    for (const ToolSpec& tool : tools()) {
        EXPECT_TRUE(std::ranges::find(seen, tool.name) == seen.end()) << tool.name;
        seen.push_back(tool.name);
        EXPECT_FALSE(tool.summary.empty());
        EXPECT_EQ(tool.summary.find('\n'), std::string_view::npos);
        EXPECT_FALSE(tool.details.empty());
        EXPECT_NE(tool.examples.find("vtrace " + std::string(tool.name)), std::string_view::npos);
        EXPECT_NE(tool.build, nullptr);
    }
}

} // namespace
} // namespace vtrace
