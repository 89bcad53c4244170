// SPDX-License-Identifier: GPL-2.0-only
// memstall: from a snapshot to its text and its JSON.
#include "render/json.h"
#include "render/memory_text.h"
#include "samples.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace vtrace {
namespace {

using test::memory_snapshot;
using test::names_of;
using test::value;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint64_t kMs = 1'000'000;

Report report_of(const ToolOptions& options, const Snapshot& snapshot = memory_snapshot())
{
    return test::tool("memstall").build(snapshot, options);
}

std::string text_of(const ToolOptions& options, const Snapshot& snapshot = memory_snapshot())
{
    return render_text(report_of(options, snapshot), {}, false, memstall_text);
}

TEST(Memstall, WorstFirst)
{
    const Report report = report_of({.group = "container", .json = true});
    EXPECT_THAT(names_of(report.rows), ElementsAre("container db", "container web",
                                                   "host not in a container", "other other"));
    const Row& db = report.rows[0];
    EXPECT_THAT(names_of(db.rows),
                ElementsAre("stall limit reclaim", "stall memory.high", "stall thrashing"));
    EXPECT_EQ(db.histogram.sum, 1'120 * kMs);
    EXPECT_EQ(value(db.rows[0], "pages"), 25'600);
    EXPECT_EQ(value(db.rows[2], "pages"), -1) << "a wait frees none";
}

TEST(Memstall, TheKernelsCountsAreBesideIt)
{
    const Report report = report_of({.group = "container", .json = true});
    const Row& db = report.rows[0];
    EXPECT_EQ(value(db, "psi_some"), 1'150 * kMs);
    EXPECT_EQ(value(db, "major_faults"), 25);
    EXPECT_EQ(value(db, "swapped_in"), -1) << "not told is not 0";
    EXPECT_EQ(value(db, "limit_hits"), 410);
    EXPECT_EQ(value(db, "limit"), 64 << 20);
    EXPECT_THAT(report.rows[1].metrics, IsEmpty());
    ASSERT_THAT(report.notes, SizeIs(1));
    EXPECT_THAT(report.notes[0], HasSubstr("90 major faults, 4.0M swapped in"));
}

TEST(Memstall, KillsWithVictimAndCause)
{
    const std::string text = text_of({.group = "container"});
    EXPECT_THAT(text, HasSubstr("greedy (pid 4400) of db: a cgroup's limit;"));
    EXPECT_THAT(text, HasSubstr("the host had no"));
    const auto json =
        nlohmann::json::parse(render_json(report_of({.group = "container", .json = true}), false));
    ASSERT_EQ(json.at("kills").size(), 2U);
    EXPECT_EQ(json.at("kills")[0].at("short_of_memory"), "cgroup");
    EXPECT_EQ(json.at("kills")[1].at("short_of_memory"), "host");
    EXPECT_EQ(json.at("kills")[1].at("asked_by").at("entity").at("name"), "web");
}

TEST(Memstall, WhatHasNotEnded)
{
    const std::string text = text_of({.group = "container"});
    EXPECT_THAT(text, HasSubstr("3.00s  post\\x1bgres (tid 4321)  db"));
    EXPECT_THAT(text, HasSubstr("held by limit reclaim 3.00s"));
}

TEST(Memstall, NothingHappened)
{
    Snapshot snapshot = memory_snapshot();
    snapshot.memory = {};
    EXPECT_THAT(text_of({.group = "cgroup"}, snapshot),
                HasSubstr("no task was held up for memory\n"));
    const auto json = nlohmann::json::parse(
        render_json(report_of({.group = "cgroup", .json = true}, snapshot), false));
    EXPECT_FALSE(json.contains("kills"));
}

TEST(Memstall, Golden)
{
    test::expect_golden("memstall.txt", text_of({.group = "container"}));
    test::expect_golden("memstall.json",
                        render_json(report_of({.group = "container", .json = true}), false));
}

} // namespace
} // namespace vtrace
