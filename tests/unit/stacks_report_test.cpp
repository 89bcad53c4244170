// SPDX-License-Identifier: GPL-2.0-only
#include "render/json.h"
#include "render/stacks_text.h"
#include "render/text.h"
#include "samples.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>

namespace vtrace {
namespace {

using test::expect_golden;
using testing::ElementsAre;
using testing::HasSubstr;

Snapshot blocked_snapshot()
{
    constexpr uint64_t kMs = 1'000'000;
    Snapshot s = test::empty_snapshot();
    s.stacks = {.min_ns = kMs,
                .max_ns = UINT64_MAX,
                .frames = {"main", "serve(std::string const&)", "nanosleep", "do_syscall_64",
                           "[app+0x1f00]", "evil;\033[2J name", "futex_wait",
                           "[user stack not taken]", "io_schedule", std::string(200, 'x')},
                .ended = {{.owner = {.cgroup_id = 21},
                           .tgid = 100,
                           .comm = "web 1;a",
                           .reason = "lock",
                           .user = {4, 1, 0},
                           .kernel = {6, 3},
                           .count = 40,
                           .ns = 3'000 * kMs,
                           .max_ns = 900 * kMs},
                          {.owner = {.cgroup_id = 22},
                           .tgid = 200,
                           .comm = "db",
                           .reason = "disk",
                           .user = {7},
                           .kernel = {8, 3},
                           .count = 1,
                           .ns = 2'000 * kMs,
                           .max_ns = 2'000 * kMs},
                          {.owner = {.cgroup_id = 21},
                           .tgid = 100,
                           .comm = "web 1;a",
                           .reason = "sleep",
                           .user = {5, 9},
                           .kernel = {2},
                           .count = 2,
                           .ns = 1'000 * kMs,
                           .max_ns = 600 * kMs}},
                .open = {{.owner = {.cgroup_id = 22},
                          .tgid = 200,
                          .comm = "db",
                          .reason = "poll",
                          .user = {0},
                          .kernel = {3},
                          .tid = 201,
                          .count = 1,
                          .ns = 5'000 * kMs,
                          .max_ns = 5'000 * kMs}}};
    return s;
}

Report blocks_of(const ToolOptions& options)
{
    return test::tool("offcputime").build(blocked_snapshot(), options);
}

TEST(StacksReport, Golden)
{
    const ToolOptions options{.group = "cgroup"};
    expect_golden("stacks.txt",
                  render_text(blocks_of(options), {.utf8 = true}, false, stacks_text));
    expect_golden("stacks_folded.txt", stacks_folded(blocks_of(options), {}));
    expect_golden("stacks.json", render_json(blocks_of({.group = "cgroup", .json = true}), false));
}

TEST(StacksReport, SumsUpByEntityAndReason)
{
    const Report report = blocks_of({.group = "cgroup", .json = true});
    ASSERT_EQ(report.rows.size(), 2U);
    const Row& worst = report.rows[0];
    EXPECT_EQ(worst.rows.size(), 2U);
    std::vector<std::string> names;
    std::vector<double> values;
    for (const Metric& metric : worst.metrics) {
        names.push_back(metric.name);
        values.push_back(metric.value);
    }
    EXPECT_THAT(names, ElementsAre("count", "time", "lock", "sleep"));
    EXPECT_THAT(values, ElementsAre(42, 4e9, 3e9, 1e9));
}

TEST(StacksReport, ShowsAsManyStacksAsAsked)
{
    EXPECT_EQ(blocks_of({.group = "cgroup", .top = 1}).rows.at(0).rows.size(), 1U);
    EXPECT_EQ(blocks_of({.group = "cgroup", .top = 1}).rows.size(), 1U);
    EXPECT_EQ(blocks_of({.group = "cgroup"}).rows.at(0).rows.size(), 2U);
}

// Every line is frames without white space, a blank, a number.
TEST(StacksReport, FoldedFramesAreWords)
{
    for (const std::string& line :
         test::lines_of(stacks_folded(blocks_of({.group = "cgroup"}), {})))
        EXPECT_THAT(line, testing::MatchesRegex("[^ ]+ [0-9]+"));
}

TEST(StacksReport, NoLineIsWiderThanTheTerminal)
{
    const std::string text =
        render_text(blocks_of({.group = "cgroup"}), {.utf8 = true}, false, stacks_text);
    for (const std::string& line : test::lines_of(text))
        EXPECT_LE(line.size() - 2 * (line.find("…") != std::string::npos ? 1 : 0), 80U) << line;
    EXPECT_THAT(text, HasSubstr("evil;\\x1b[2J name"));
}

TEST(StacksReport, OfNothingSaysSo)
{
    const Report report = test::tool("offcputime").build(test::empty_snapshot(), {});
    EXPECT_THAT(stacks_text(report, {}), HasSubstr("no time off the CPU ended"));
    EXPECT_EQ(stacks_folded(report, {}), "");
}

} // namespace
} // namespace vtrace
