// SPDX-License-Identifier: GPL-2.0-only
// biolatency and iotop: from a snapshot to the text and the JSON of each.
#include "base/printable.h"
#include "render/block_text.h"
#include "render/json.h"
#include "samples.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace vtrace {
namespace {

using test::block_snapshot;
using test::kSda;
using test::names_of;
using test::value;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

constexpr uint64_t kMs = 1'000'000;

Report report_of(std::string_view tool, const ToolOptions& options,
                 const Snapshot& snapshot = block_snapshot())
{
    return test::tool(tool).build(snapshot, options);
}

std::string text_of(std::string_view tool, const ToolOptions& options,
                    const Snapshot& snapshot = block_snapshot())
{
    return render_text(report_of(tool, options, snapshot), {}, false, test::tool(tool).text);
}

const Row& row_named(const Report& report, const std::string& name)
{
    static const Row none;
    for (const Row& row : report.rows) {
        if (row.entity.name == name)
            return row;
    }
    ADD_FAILURE() << "no row " << name;
    return none;
}

TEST(Biolatency, WorstFirst)
{
    const Report report = report_of("biolatency", {.group = "container", .json = true});
    EXPECT_THAT(names_of(report.rows), ElementsAre("container db", "kernel writeback",
                                                   "container web", "host not in a container"));
    const Row& db = report.rows[0];
    EXPECT_THAT(names_of(db.rows), ElementsAre("operation read", "operation write sync"));
    EXPECT_EQ(value(db, "count"), 1'200);
    EXPECT_EQ(value(db, "bytes"), 1'000 * 16'384 + 200 * 4'096);
    EXPECT_EQ(value(db, "errors"), 2);
    EXPECT_EQ(value(db, "requeued"), 4);
    EXPECT_EQ(db.histogram.count(), 1'200U);
    ASSERT_THAT(db.histograms, SizeIs(2));
    EXPECT_EQ(db.histograms[0].name, "queue");
    EXPECT_EQ(db.histograms[1].histogram.sum, (1'000 + 600) * kMs);
}

TEST(Biolatency, TheHostIsOneRow)
{
    const Report report = report_of("biolatency", {});
    EXPECT_THAT(names_of(report.rows), ElementsAre("host node-7"));
    EXPECT_EQ(value(report.rows[0], "count"), 1'263);
    EXPECT_THAT(report.rows[0].rows, SizeIs(5));
}

TEST(Biolatency, SizesAndPatternOnRequest)
{
    EXPECT_THAT(text_of("biolatency", {.group = "container"}), Not(HasSubstr("SIZE")));
    const std::string text =
        text_of("biolatency", {.group = "container", .sizes = true, .pattern = true});
    EXPECT_THAT(text, HasSubstr("SIZE <= REQUESTS"));
    EXPECT_THAT(text, HasSubstr("16K     1000 ####"));
    EXPECT_THAT(text, HasSubstr("90.1% of them sequential"));
    EXPECT_THAT(text, HasSubstr("0.324 in flight on average"));
}

TEST(Biolatency, SaysWhatHasNotCompleted)
{
    const std::string text = text_of("biolatency", {.group = "container"});
    EXPECT_THAT(text, HasSubstr("not completed, in no figure above: 1 request\n"));
    EXPECT_THAT(text, HasSubstr("31.0s  sda readahead of 128K at sector 2048, on the device for "
                                "30.0s"));
    const auto json = nlohmann::json::parse(
        render_json(report_of("biolatency", {.group = "container", .json = true}), false));
    ASSERT_EQ(json.at("requests").size(), 2U);
    EXPECT_EQ(json.at("requests")[0].at("entity").at("name"), "db");
    EXPECT_EQ(json.at("requests")[1].at("stage"), "queue");
    EXPECT_EQ(json.at("requests")[1].at("disk"), "9:7"); // without a name
}

TEST(Biolatency, NamesWhatItCannotSee)
{
    const Report report = report_of("biolatency", {.group = "cgroup"});
    EXPECT_THAT(report.notes, Contains(HasSubstr("zram0 has no requests: 40 I/Os")));
    EXPECT_THAT(report.notes, Contains(HasSubstr("io controller is not enabled")));
    EXPECT_THAT(text_of("biolatency", {.group = "cgroup"}), HasSubstr("/batch*: 3 requests"));
    Snapshot untimed = block_snapshot();
    untimed.block.figures[0].untimed = 7;
    EXPECT_THAT(report_of("biolatency", {}, untimed).notes,
                Contains(HasSubstr("7 requests have no time")));
}

TEST(Biolatency, WithoutRequests)
{
    Snapshot snapshot = block_snapshot();
    snapshot.block = {};
    EXPECT_THAT(text_of("biolatency", {}, snapshot), HasSubstr("no request completed"));
    EXPECT_THAT(text_of("iotop", {.group = "cgroup"}, snapshot), HasSubstr("no request completed"));
}

TEST(Iotop, WhoBesideWhom)
{
    const Report report = report_of("iotop", {.group = "container", .json = true});
    const Row& db = row_named(report, "db");
    EXPECT_EQ(value(db, "read_bytes"), 1'000 * 16'384);
    EXPECT_EQ(value(db, "write_bytes"), 200 * 4'096);
    EXPECT_NEAR(value(db, "depth"), (1'020 + 601) * kMs / 5e9, 1e-3);
    EXPECT_DOUBLE_EQ(value(db, "beside"), 0.7);
    EXPECT_DOUBLE_EQ(value(db, "held"), 0.5);
    EXPECT_DOUBLE_EQ(value(db, "held_by_cost"), 0.15);
    EXPECT_DOUBLE_EQ(value(db, "held_by_wbt"), 0);
    const Row& writeback = row_named(report, "writeback");
    EXPECT_DOUBLE_EQ(value(writeback, "held"), 0);
    EXPECT_DOUBLE_EQ(value(writeback, "held_by_wbt"), 0.35);
    EXPECT_EQ(value(writeback, "limit_write_bytes"), -1);
    EXPECT_EQ(value(db, "limit_write_bytes"), 1U << 20);
    EXPECT_EQ(value(db, "limit_reads"), 500);
    EXPECT_EQ(value(db, "limit_read_bytes"), -1);
    EXPECT_THAT(names_of(db.rows), ElementsAre("kernel writeback", "container web"));
    EXPECT_DOUBLE_EQ(value(db.rows[0], "beside"), 0.5);
    EXPECT_DOUBLE_EQ(value(db.rows[1], "beside"), 0.2);
    EXPECT_EQ(value(row_named(report, "web"), "limit_reads"), -1);
    double share = 0;
    for (const Row& row : report.rows)
        share += value(row, "device_share");
    EXPECT_NEAR(share, 1, 1e-9);
}

// Two cgroups of one entity are not beside each other, and are held back once.
TEST(Iotop, NobodyIsBesideItself)
{
    Snapshot snapshot = block_snapshot();
    snapshot.entities[1] = {.cgroup_id = 40, .kind = "pod", .name = "shop/all"};
    snapshot.block.companies[1].owners.push_back(
        {.owner = {.cgroup_id = 43}, .held = {.by_limit = true}});
    const Report report = report_of("iotop", {.group = "pod", .json = true}, snapshot);
    const Row& pod = row_named(report, "shop/all");
    EXPECT_THAT(names_of(pod.rows), ElementsAre("kernel writeback"));
    EXPECT_DOUBLE_EQ(value(pod, "beside"), 300.0 / 660);
    EXPECT_DOUBLE_EQ(value(pod.rows[0], "beside"), 300.0 / 660);
    EXPECT_DOUBLE_EQ(value(pod, "held"), 0.5);
}

// Of what was not asked for it is known only whom it was beside.
TEST(Iotop, WithATarget)
{
    Snapshot snapshot = block_snapshot();
    const OwnerId db{.cgroup_id = 42};
    std::erase_if(snapshot.block.figures, [&](const auto& f) { return f.key.owner != db; });
    snapshot.block.asked_for = {{db}};
    const Report report = report_of(
        "iotop", {.group = "container", .target_kind = "container", .target = "db", .json = true},
        snapshot);
    EXPECT_THAT(names_of(report.rows), ElementsAre("container db"));
    EXPECT_THAT(names_of(report.rows[0].rows), ElementsAre("kernel writeback", "container web"));
    EXPECT_EQ(value(report.rows[0], "device_share"), -1);
}

// It is not known what they did, nor for whom.
TEST(Block, WhatFoundNoRoom)
{
    Snapshot snapshot = block_snapshot();
    snapshot.block.figures.push_back({.key = {.op = kAnyOperation}, .count = 9, .bytes = 36'864});
    const Report biolatency = report_of("biolatency", {.group = "cgroup", .json = true}, snapshot);
    const Row& other = row_named(biolatency, "other");
    EXPECT_EQ(other.entity.kind, "other");
    EXPECT_THAT(names_of(other.rows), ElementsAre("operation any"));
    const Report iotop = report_of("iotop", {.group = "cgroup", .json = true}, snapshot);
    EXPECT_EQ(value(row_named(iotop, "other"), "count"), 9);
    EXPECT_EQ(value(row_named(iotop, "other"), "read_bytes"), 0);
    EXPECT_EQ(value(row_named(iotop, "other"), "write_bytes"), 0);
    EXPECT_THAT(text_of("biolatency", {.group = "cgroup"}, snapshot), HasSubstr("any         any"));
}

TEST(Iotop, Text)
{
    const std::string text = text_of("iotop", {.group = "container"});
    EXPECT_THAT(text, HasSubstr("    beside kernel: writeback 50.0%, web 20.0%\n"));
    EXPECT_THAT(text, HasSubstr("    held back by its own limit (1.0M/s written, 500 reads/s) in "
                                "50.0% of the\n    samples\n"
                                "    held back by iocost, its share by weight, in 15.0% of the "
                                "samples\n"));
    EXPECT_THAT(text, HasSubstr("    held back by writeback throttling (wbt) in 35.0% of the "
                                "samples\n"));
    EXPECT_THAT(text, HasSubstr("of 400 samples"));
}

TEST(Block, Golden)
{
    for (const char* tool : {"biolatency", "iotop"}) {
        const ToolOptions options{.group = "container", .sizes = true, .pattern = true};
        test::expect_golden(std::string(tool) + ".txt", text_of(tool, options));
        test::expect_golden(std::string(tool) + ".json",
                            render_json(report_of(tool, options), false));
    }
}

TEST(Block, TextIsNeverWiderThanItsStyle)
{
    Snapshot snapshot = block_snapshot();
    snapshot.entities[0].name = std::string(300, 'x');
    snapshot.block.devices[0].name = std::string(31, 'y');
    for (const char* tool : {"biolatency", "iotop"}) {
        for (const std::string& line :
             test::lines_of(text_of(tool, {.group = "container", .sizes = true}, snapshot)))
            EXPECT_LE(columns(line), 80U) << line;
    }
}

TEST(Block, NamesAreHarmless)
{
    Snapshot snapshot = block_snapshot();
    snapshot.block.devices[0].name = "s\033[2Jda\xff";
    snapshot.entities[0].name = "d\nb";
    for (const char* tool : {"biolatency", "iotop"}) {
        const ToolOptions options{.group = "container"};
        const std::string text = text_of(tool, options, snapshot);
        EXPECT_THAT(text, Not(HasSubstr("\033[2J")));
        EXPECT_THAT(text, Not(HasSubstr("d\nb")));
        const std::string json = render_json(report_of(tool, options, snapshot), false);
        EXPECT_TRUE(nlohmann::json::accept(json));
        EXPECT_THAT(json, Not(HasSubstr("\033")));
    }
}

TEST(Block, SlowRequests)
{
    SlowRequest slow{.key = {.owner = {.cgroup_id = 42},
                             .device = kSda,
                             .op = VT_REQ_OP_WRITE,
                             .flags = VT_BLOCK_SYNC},
                     .device = "sda",
                     .end_ns = 1'700'000'000'123'456'789,
                     .sector = 7,
                     .bytes = 4'096,
                     .queue_ns = kMs,
                     .device_ns = 20 * kMs,
                     .total_ns = 21 * kMs};
    const Entity entity{.kind = "container", .name = "db"};
    EXPECT_THAT(render_text(slow, entity, {}),
                HasSubstr("  21.0ms  1.00ms  20.0ms   4.0K sda        write sync   db\n"));
    auto json = nlohmann::json::parse(render_json(slow, entity, "biolatency"));
    EXPECT_EQ(json.at("event"), "slow_request");
    EXPECT_EQ(json.at("device_ns"), 20 * kMs);
    slow.split = false;
    slow.failed = true;
    EXPECT_THAT(render_text(slow, entity, {}), HasSubstr("  21.0ms       -       -"));
    EXPECT_THAT(render_text(slow, entity, {}), HasSubstr("db (failed)\n"));
    json = nlohmann::json::parse(render_json(slow, entity, "biolatency"));
    EXPECT_FALSE(json.contains("device_ns"));
    EXPECT_EQ(json.at("failed"), true);
}

TEST(Block, OwnersOfTheKernels)
{
    EXPECT_EQ(block_owner({.cgroup_id = 5, .origin = VT_BLOCK_OF_CGROUP}), OwnerId{.cgroup_id = 5});
    EXPECT_EQ(block_owner({.origin = VT_BLOCK_WRITEBACK}), OwnerId{.kthread = "writeback"});
    EXPECT_EQ(block_owner({.origin = VT_BLOCK_JOURNAL}), OwnerId{.kthread = "journal"});
    EXPECT_EQ(block_owner({.origin = VT_BLOCK_FLUSH}), OwnerId{.kthread = "flush"});
    EXPECT_EQ(block_owner({.origin = VT_BLOCK_SWAP}), OwnerId{.kthread = "swap"});
    EXPECT_EQ(block_owner({.origin = 99}), OwnerId{.kthread = "unknown"});
}

TEST(Block, Operations)
{
    EXPECT_EQ(operation_name(VT_REQ_OP_READ, VT_BLOCK_SYNC), "read");
    EXPECT_EQ(operation_name(VT_REQ_OP_READ, VT_BLOCK_AHEAD), "readahead");
    EXPECT_EQ(operation_name(VT_REQ_OP_WRITE, 0), "write async");
    EXPECT_EQ(operation_name(VT_REQ_OP_WRITE, VT_BLOCK_SYNC | VT_BLOCK_META | VT_BLOCK_FUA),
              "write sync meta fua");
    EXPECT_EQ(operation_name(VT_REQ_OP_FLUSH, 0), "flush");
    EXPECT_EQ(operation_name(VT_REQ_OP_WRITE_ZEROES, 0), "write zeroes");
    EXPECT_EQ(operation_name(VT_REQ_OP_DRV_OUT, 0), "command");
    EXPECT_EQ(operation_name(77, 0), "op 77");
}

} // namespace
} // namespace vtrace
