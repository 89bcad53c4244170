// SPDX-License-Identifier: GPL-2.0-only
#include "record/recording.h"

#include "base/files.h"
#include "samples.h"
#include "support.h"
#include "tools/recorded_options.h"
#include "tools/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vtrace {
namespace {

using testing::HasSubstr;

class Recording : public testing::Test {
protected:
    // Of three intervals of two snapshots each.
    std::string recorded()
    {
        auto writer = RecordingWriter::create(path_, head_);
        EXPECT_TRUE(writer);
        for (int i = 0; i < 3; i++) {
            const auto added = writer->add(interval(i));
            EXPECT_TRUE(added);
        }
        auto bytes = read_file(path_);
        EXPECT_EQ(bytes->size(), writer->bytes());
        return *bytes;
    }

    static Interval interval(int number)
    {
        Interval both = {test::grouped_snapshot(), test::hostile_snapshot()};
        for (Snapshot& snapshot : both) {
            snapshot.duration_ns = 1'000'000'000;
            snapshot.start_ns = 1'790'000'000'000'000'000 + number * int64_t{1'000'000'000};
        }
        return both;
    }

    // How many intervals can be read, and how it ends.
    static std::string read(const std::string& bytes)
    {
        auto reader = RecordingReader::open(bytes);
        if (!reader)
            return reader.error().what;
        for (int number = 0;; number++) {
            const auto next = reader->next();
            if (!next)
                return std::to_string(number) + " and " + next.error().what;
            if (!*next)
                return std::to_string(number) + (reader->cut() ? " and cut" : "");
            EXPECT_EQ(**next, interval(number));
        }
    }

    test::TempDir directory_; // of its own: tests run beside each other
    std::string path_ = directory_.path() + "/a.rec";
    RecordingHead head_{.vtrace = "0.1",
                        .tools = {{"runqlat", "blame"}, {"biolatency"}},
                        .left_out = {{"kvmexit", "no KVM\xff here"}},
                        .options = save_recorded_options({})};
};

TEST_F(Recording, ReadsAsItWasWritten)
{
    const std::string bytes = recorded();
    EXPECT_EQ(read(bytes), "3");
    const auto reader = RecordingReader::open(bytes);
    EXPECT_EQ(reader->head().tools, head_.tools);
    EXPECT_EQ(reader->head().options, head_.options);
    EXPECT_EQ(reader->head().left_out.front().tool, "kvmexit");
}

TEST_F(Recording, IsNeverOverwritten)
{
    recorded();
    const auto again = RecordingWriter::create(path_, head_);
    ASSERT_FALSE(again);
    EXPECT_THAT(again.error().message(), HasSubstr("give another name"));
}

// Wherever it is cut off, all that is whole can be read.
TEST_F(Recording, CutAnywhereIsReadToItsLastInterval)
{
    const std::string bytes = recorded();
    std::string before = "no recording";
    for (size_t size = 0; size < bytes.size(); size++) {
        const std::string is = read(bytes.substr(0, size));
        const bool no_head = is == "this is no recording of vtrace" ||
                             is == "the recording ends before its first interval";
        EXPECT_TRUE(no_head || is == "0" || is == "1" || is == "2" || is.ends_with(" and cut"))
            << size << ": " << is;
    }
}

// Each byte counts: none can be another without a word.
TEST_F(Recording, DamageIsNeverTakenForFigures)
{
    const std::string bytes = recorded();
    for (size_t at = 0; at < bytes.size(); at++) {
        std::string other = bytes;
        other[at] = static_cast<char>(other[at] ^ 0x10);
        const std::string is = read(other);
        EXPECT_TRUE(is.find("damaged") != std::string::npos || is.starts_with("this ")) << at << is;
    }
}

TEST_F(Recording, OthersAreRefused)
{
    EXPECT_EQ(read(""), "this is no recording of vtrace");
    EXPECT_EQ(read(std::string(1000, '\0')), "this is no recording of vtrace");
    EXPECT_EQ(read("vtrace-recording/2\n"), "this recording has format 2, this vtrace reads 1");
    EXPECT_EQ(read("vtrace-recording/1\n"), "the recording ends before its first interval");
    EXPECT_THAT(read("vtrace-recording/1\n" + std::string(100, 'x')), HasSubstr("is damaged"));
}

// A parser takes many times their size for them.
TEST_F(Recording, DeepTextsAreRefused)
{
    for (const std::string& deep : {std::string(100'000, '['), "{\"a\":" + std::string(40, '[')}) {
        EXPECT_EQ(load_interval(deep).error().what, "it is nested too deep");
        EXPECT_THAT(load_head(deep).error().what, HasSubstr("nested too deep"));
    }
    EXPECT_THAT(load_head(std::string(2 << 20, ' ')).error().what, HasSubstr("too large"));
    const Interval quoted = {test::hostile_snapshot()};
    EXPECT_EQ(*load_interval(save_interval(quoted)), quoted);
}

TEST_F(Recording, FewerSnapshotsThanTheHeadSaysAreDamage)
{
    head_.tools.pop_back();
    EXPECT_THAT(read(recorded()), HasSubstr("another number of snapshots"));
}

TEST(RecordedOptions, AreThoseOfTheReplay)
{
    ToolOptions recorded{.comm = "nginx*", .min_ms = 0.5, .blocked = true};
    recorded.target_kind = "container";
    recorded.target = "web";
    recorded.peers.local = true;
    const std::string saved = save_recorded_options(recorded);
    EXPECT_EQ(*describe_recorded_options(saved),
              "--container=web --by=remote,local,port --blocked --comm=nginx* --min=0.5");

    const auto plain = replay_options({.group = "pod", .top = 7}, saved);
    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->group, "pod");
    EXPECT_EQ(plain->top, 7U);
    EXPECT_EQ(plain->comm, "nginx*");
    EXPECT_EQ(plain->target, "web");
    EXPECT_EQ(plain->min_ms, 0.5);
    EXPECT_TRUE(plain->peers.local);
    EXPECT_TRUE(replay_options({.comm = "nginx*", .blocked = true}, saved));

    EXPECT_THAT(replay_options({.pid = 7}, saved).error().what, "--pid was not recorded so");
    EXPECT_THAT(replay_options({.target_kind = "container", .target = "db"}, saved).error().what,
                "the target was not recorded so");
    EXPECT_EQ(replay_options({.threads = true}, saved).error().exit, ExitCode::kUsage);
    EXPECT_EQ(replay_options({.max_ms = 3}, saved).error().what, "--max was not recorded so");
    EXPECT_EQ(*describe_recorded_options(save_recorded_options({})), "");
}

TEST(RecordedOptions, WhatOnlyShowsMoreIsNotImposed)
{
    const std::string saved = save_recorded_options({.ttfb = true, .threads = true});
    EXPECT_FALSE(replay_options({}, saved)->threads);
    EXPECT_TRUE(replay_options({.threads = true}, saved)->threads);
    EXPECT_FALSE(replay_options({}, saved)->ttfb);
}

TEST(RecordedOptions, DamagedOnesAreAnError)
{
    std::string wrong = save_recorded_options({.pid = 7});
    wrong.replace(wrong.find("\"pid\":7"), 7, "\"pid\":1e300");
    EXPECT_FALSE(replay_options({}, wrong));
    for (const char* damaged : {"", "{}", "[]", "7", "{\"pid\":\"x\"}"}) {
        EXPECT_FALSE(replay_options({}, damaged)) << damaged;
        EXPECT_FALSE(describe_recorded_options(damaged)) << damaged;
    }
}

TEST(RecordingTime, IsSecondsOrATime)
{
    const auto after = parse_recording_time("12.5");
    ASSERT_TRUE(after);
    EXPECT_TRUE(after->since_start);
    EXPECT_EQ(after->ns, 12'500'000'000);
    const auto at = parse_recording_time("2026-11-22T23:14:05Z"); // date -ud @1795389245
    ASSERT_TRUE(at);
    EXPECT_FALSE(at->since_start);
    EXPECT_EQ(at->ns, 1'795'389'245'000'000'000);
    for (const char* none :
         {"", "-1", "x", "nan", "inf", "1e300", "2026-11-31T00:00:00Z", "2026-13-01T00:00:00Z",
          "2026-11-22T25:14:05Z", "2026-11-22 23:14:05Z", "9999-12-31T23:59:59Z", "1 "})
        EXPECT_FALSE(parse_recording_time(none)) << none;
}

} // namespace
} // namespace vtrace
