// SPDX-License-Identifier: GPL-2.0-only
#include "render/text.h"

#include "base/printable.h"
#include "render/histogram_text.h"
#include "samples.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <regex>
#include <string>

namespace vtrace {
namespace {

using test::all_snapshots;
using test::expect_golden;
using test::report_of;
using testing::HasSubstr;
using testing::Not;

std::string without_colour(const std::string& text)
{
    static const std::regex colour("\033\\[[0-9;]*m");
    return std::regex_replace(text, colour, "");
}

class RenderText : public testing::Test {
protected:
    RenderText()
    {
        ::setenv("TZ", "UTC", 1);
        ::tzset();
    }
};

TEST_F(RenderText, Golden)
{
    for (const auto& [name, snapshot] : all_snapshots())
        expect_golden(name + ".txt", render_text(report_of(snapshot), {.utf8 = true}, false));
}

TEST_F(RenderText, GoldenStyles)
{
    const Report grouped = report_of(test::grouped_snapshot(), {.top = 3});
    for (const size_t width : {72U, 80U, 120U})
        expect_golden("grouped_" + std::to_string(width) + ".txt",
                      render_text(grouped, {.width = width, .utf8 = true}, false));
    expect_golden("grouped_ascii.txt", render_text(grouped, {}, false));
    expect_golden("grouped_colour.txt",
                  render_text(grouped, {.colour = true, .utf8 = true}, false));
    expect_golden("losses_colour.txt",
                  render_text(report_of(test::lossy_snapshot()), {.colour = true}, false));
    expect_golden("host_clock.txt",
                  render_text(report_of(test::host_snapshot()), {.clock = true}, false));
    expect_golden("host_overhead.txt", render_text(report_of(test::host_snapshot()), {}, true));
    Snapshot untimed = test::host_snapshot();
    untimed.overhead.timed = false;
    expect_golden("host_overhead_untimed.txt", render_text(report_of(untimed), {}, true));
}

TEST_F(RenderText, GoldenSlowWaits)
{
    SlowWait wait{.end_ns = 1'700'000'000'123'456'789,
                  .wait_ns = 12'345'678,
                  .cgroup_id = 21,
                  .cpu = 3,
                  .tid = 4'711,
                  .tgid = 4'710,
                  .comm = "nginx",
                  .previous_tid = 99,
                  .previous_comm = "kworker/3:1"};
    const Entity entity{
        .kind = "cgroup", .name = "/docker/4f5e", .cgroup = "/docker/4f5e", .id = 21};
    Entity ended = entity;
    ended.ended = true;
    const TextStyle style{.utf8 = true};
    std::string text = slow_wait_heading("cgroup", style) + render_text(wait, entity, style);
    wait.previous_tid = 0;
    wait.previous_comm = "swapper/3";
    text += render_text(wait, ended, style);
    wait.comm = "123456789012345";
    wait.tid = 4'194'303;
    wait.wait_ns = UINT64_MAX / 20;
    wait.previous_tid = 4'194'303;
    wait.previous_comm = "\x1b[31m\xff\n";
    text += render_text(wait, entity, style) + render_text(wait, entity, {});
    expect_golden("slow_waits.txt", text);
}

TEST_F(RenderText, IsNeverWiderThanItsStyle)
{
    for (const auto& [name, snapshot] : all_snapshots()) {
        for (const size_t width : {72U, 80U, 100U, 120U, 160U, 250U}) {
            for (const bool utf8 : {false, true}) {
                const TextStyle style{
                    .width = width, .colour = width == 100, .utf8 = utf8, .clock = true};
                const auto text = without_colour(render_text(report_of(snapshot), style, true));
                for (const std::string& line : test::lines_of(text))
                    EXPECT_LE(columns(line), width) << name << ": " << line;
            }
        }
    }
}

TEST_F(RenderText, HasNoTrailingSpaces)
{
    for (const auto& [name, snapshot] : all_snapshots()) {
        for (const size_t width : {72U, 80U, 120U}) {
            for (const bool colour : {false, true}) {
                const TextStyle style{.width = width, .colour = colour, .utf8 = true};
                const auto text = without_colour(render_text(report_of(snapshot), style, true));
                for (const std::string& line : test::lines_of(text))
                    EXPECT_FALSE(line.ends_with(' ')) << name << ": '" << line << "'";
                EXPECT_TRUE(text.ends_with('\n')) << name;
                EXPECT_FALSE(text.ends_with("\n\n")) << name;
            }
        }
    }
}

// Everything is printable but newlines, and colours where they are wanted: strings that come from a
// file, too.
TEST_F(RenderText, NeverDrivesTheTerminal)
{
    auto snapshots = all_snapshots();
    Snapshot from_file = test::lossy_snapshot();
    from_file.host.kernel = "6.1\x1b[2J";
    from_file.loss.fallbacks = {"\x1b[2Jfallback\n\xff"};
    from_file.overhead.programs = {{.name = "\x1b[2Jprogram", .run_cnt = 1, .run_time_ns = 1}};
    from_file.cgroups.hierarchy = "\x1b[2Jv2";
    snapshots.emplace_back("from a file", from_file);
    for (const auto& [name, snapshot] : snapshots) {
        for (const bool colour : {false, true}) {
            const TextStyle style{.colour = colour, .utf8 = true};
            std::string text = render_text(report_of(snapshot), style, true);
            if (colour)
                text = without_colour(text);
            for (const std::string& line : test::lines_of(text))
                EXPECT_EQ(line, printable(line)) << name;
        }
    }
}

TEST_F(RenderText, AsciiIsAscii)
{
    for (const auto& [name, snapshot] : all_snapshots()) {
        if (name == "hostile_names")
            continue; // names keep their letters
        for (const char c : render_text(report_of(snapshot), {.utf8 = false}, true))
            ASSERT_GE(c, 0) << name;
    }
}

TEST_F(RenderText, ColourChangesNothingElse)
{
    for (const auto& [name, snapshot] : all_snapshots()) {
        const Report report = report_of(snapshot);
        EXPECT_EQ(without_colour(render_text(report, {.colour = true, .utf8 = true}, true)),
                  render_text(report, {.utf8 = true}, true))
            << name;
    }
}

TEST_F(RenderText, ShowsEveryLoss)
{
    for (const LossCounter& counter : loss_counters()) {
        Snapshot snapshot = test::host_snapshot();
        snapshot.loss.*counter.count = 4'711;
        const std::string text = render_text(report_of(snapshot), {}, false);
        const std::string meaning(counter.meaning);
        EXPECT_THAT(text, HasSubstr("4711 " + meaning)) << counter.key;
        const std::string clean = render_text(report_of(test::host_snapshot()), {}, false);
        EXPECT_THAT(clean, Not(HasSubstr(meaning))) << counter.key;
    }
}

TEST_F(RenderText, LossesShowWhenThereAreNoRows)
{
    Snapshot snapshot = test::empty_snapshot();
    snapshot.loss.missed_start = 9;
    const std::string text = render_text(report_of(snapshot), {}, false);
    EXPECT_THAT(text, HasSubstr("no wait ended"));
    EXPECT_THAT(text, HasSubstr("9 events not measured: their start was not seen"));
}

TEST_F(RenderText, OpenWaitsShowWhenThereAreNoRows)
{
    Snapshot snapshot = test::empty_snapshot();
    snapshot.sched.open = test::waiting_snapshot().sched.open;
    const std::string text = render_text(report_of(snapshot), {}, false);
    EXPECT_THAT(text, HasSubstr("still waiting, in no figure above: 6 tasks"));
    EXPECT_THAT(text, HasSubstr("starved (tid 4711)  /docker/4f5e0c5a1b2c"));
    EXPECT_THAT(text, HasSubstr("and 1 more"));
    EXPECT_THAT(text, Not(HasSubstr("not worth showing")));
}

// However long the path of the cgroup is: the task is named.
TEST_F(RenderText, OpenWaitsKeepTheirTid)
{
    Snapshot snapshot = test::waiting_snapshot();
    snapshot.sched.open.resize(1);
    snapshot.cgroups.cgroups[2].name = "pod" + std::string(200, 'x') + ".scope";
    for (const size_t width : {72U, 80U, 120U}) {
        const std::string text = render_text(report_of(snapshot), {.width = width}, false);
        EXPECT_THAT(text, HasSubstr("64.0s  starved (tid 4711)  /docker/"));
        EXPECT_THAT(text, HasSubstr("xxx.scope\n"));
    }
}

TEST_F(RenderText, NoWindowIsNoNumber)
{
    Snapshot snapshot = test::host_snapshot();
    snapshot.duration_ns = 0;
    const std::string text = render_text(report_of(snapshot), {}, true);
    EXPECT_THAT(text, Not(HasSubstr("inf")));
    EXPECT_THAT(text, Not(HasSubstr("nan")));
}

TEST_F(RenderText, BarsAreInProportion)
{
    const Histogram h = test::histogram({{20, 100}, {40, 50}, {100, 1}, {1'000, 0}});
    const std::string rows = histogram_rows(h, "wait", {.width = 80});
    std::vector<size_t> stars;
    for (const std::string& line : test::lines_of(rows)) {
        if (line.ends_with('|'))
            stars.push_back(static_cast<size_t>(std::ranges::count(line, '*')));
    }
    ASSERT_EQ(stars.size(), 3u);
    EXPECT_EQ(stars[0], 40u) << "the most fills the bar";
    EXPECT_EQ(stars[1], 20u);
    EXPECT_EQ(stars[2], 1u) << "anything above zero shows";
}

// Values from 68.7 s on share a row: it ends where they end.
TEST_F(RenderText, TheLastRowEndsWithTheLargestValue)
{
    EXPECT_THAT(histogram_rows(test::histogram({{66'000'000'000, 1}}), "wait", {}),
                HasSubstr("34.4s -> 68.7s "));
    EXPECT_THAT(
        histogram_rows(test::histogram({{66'000'000'000, 1}, {300'000'000'000, 1}}), "wait", {}),
        HasSubstr("34.4s -> 300s "));
}

TEST_F(RenderText, RowsAddUpToTheCount)
{
    for (const auto& [name, snapshot] : all_snapshots()) {
        const Histogram& h = test::rest_of(snapshot);
        uint64_t sum = 0;
        static const std::regex row(R"(.* -> \S+ +(\d+)   \|.*\|)");
        for (const std::string& line : test::lines_of(histogram_rows(h, "wait", {}))) {
            std::smatch match;
            if (std::regex_match(line, match, row))
                sum += std::stoull(match[1]);
        }
        EXPECT_EQ(sum, h.count()) << name;
    }
}

// One event of 1 us … 4 s: each is in its column, of a factor of four.
TEST_F(RenderText, SparkColumns)
{
    EXPECT_EQ(histogram_spark({}, {}), std::string(12, ' '));
    for (size_t column = 0; column < 12; column++) {
        const uint64_t low = column == 0 ? 0 : 1'024ULL << 2 * (column - 1);
        const uint64_t high = 1'024ULL << 2 * column;
        for (const uint64_t value : {low, high - 1}) {
            Histogram h;
            h.add(value);
            std::string expected(12, ' ');
            expected[column] = '#';
            EXPECT_EQ(histogram_spark(h, {}), expected) << value;
        }
    }
    Histogram slow;
    slow.add(UINT64_MAX);
    EXPECT_EQ(histogram_spark(slow, {}), std::string(11, ' ') + '#');
}

TEST_F(RenderText, SparkShowsASingleSlowEvent)
{
    const Histogram h = test::histogram({{100, 1'000'000}, {3'000'000'000, 1}});
    EXPECT_EQ(histogram_spark(h, {.utf8 = true}), "█          ▁");
}

} // namespace
} // namespace vtrace
