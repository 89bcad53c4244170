// SPDX-License-Identifier: GPL-2.0-only
#include "render/json.h"

#include "base/printable.h"
#include "samples.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>

namespace vtrace {
namespace {

using nlohmann::json;
using test::all_snapshots;
using test::expect_golden;
using test::report_of;

Report json_report(const Snapshot& snapshot, size_t top = 0)
{
    return report_of(snapshot, {.top = top, .json = true});
}

void expect_histogram(const json& rendered, const Histogram& h)
{
    EXPECT_EQ(rendered.at("type"), "histogram");
    EXPECT_EQ(rendered.at("unit"), "ns");
    EXPECT_EQ(rendered.at("count").get<uint64_t>(), h.count());
    EXPECT_EQ(rendered.at("sum").get<uint64_t>(), h.sum);
    EXPECT_EQ(rendered.at("max").get<uint64_t>(), h.max);
    EXPECT_EQ(rendered.at("p50").get<uint64_t>(), h.quantile(0.5));
    EXPECT_EQ(rendered.at("p999").get<uint64_t>(), h.quantile(0.999));
    EXPECT_EQ(rendered.at("error_bound"), 0.0625);
    uint64_t count = 0;
    uint64_t end = 0;
    for (const json& bucket : rendered.at("buckets")) {
        const auto low = bucket.at(0).get<uint64_t>();
        const auto high = bucket.at(1).get<uint64_t>();
        EXPECT_GE(low, end) << "ascending, without overlap";
        EXPECT_GT(high, low);
        end = high;
        count += bucket.at(2).get<uint64_t>();
    }
    EXPECT_EQ(count, h.count());
    EXPECT_LE(h.max, end) << "the largest value is in the last bucket";
}

TEST(RenderJson, Golden)
{
    for (const auto& [name, snapshot] : all_snapshots())
        expect_golden(name + ".json", render_json(json_report(snapshot), false));
    expect_golden("grouped_top.json", render_json(json_report(test::grouped_snapshot(), 2), false));
    expect_golden("host_overhead.json", render_json(json_report(test::host_snapshot()), true));
}

TEST(RenderJson, GoldenSlowWait)
{
    const SlowWait wait{.end_ns = 1'700'000'000'123'456'789,
                        .wait_ns = 12'345'678,
                        .cgroup_id = 21,
                        .cpu = 3,
                        .tid = 4'711,
                        .tgid = 4'710,
                        .comm = "\x1b[31m\xff",
                        .previous_tid = 99,
                        .previous_comm = "kworker/3:1"};
    const Entity entity{
        .kind = "cgroup", .name = "/a\n", .cgroup = "/a\n", .id = 21, .ended = true};
    expect_golden("slow_wait.json", render_json(wait, entity, "runqlat"));
}

TEST(RenderJson, IsOneLineOfPlainText)
{
    auto snapshots = all_snapshots();
    Snapshot from_file = test::lossy_snapshot();
    from_file.host.kernel = "6.1\x1b[2J\xff";
    from_file.loss.fallbacks = {"\x1b[2Jfallback\n\xff"};
    from_file.overhead.programs = {{.name = "\x1b[2Jprogram\xff", .run_cnt = 1, .run_time_ns = 1}};
    snapshots.emplace_back("from a file", from_file);
    for (const auto& [name, snapshot] : snapshots) {
        std::string line;
        ASSERT_NO_THROW(line = render_json(json_report(snapshot), true)) << name;
        ASSERT_TRUE(line.ends_with('\n')) << name;
        line.pop_back();
        EXPECT_EQ(line.find('\n'), std::string::npos) << name;
        EXPECT_EQ(line, printable(line)) << name;
        EXPECT_TRUE(json::accept(line)) << name;
    }
}

// Names are escaped as in text: what a consumer prints does not drive its terminal either.
TEST(RenderJson, DecodedStringsAreHarmless)
{
    auto snapshots = all_snapshots();
    Snapshot from_file = test::lossy_snapshot();
    from_file.loss.fallbacks = {"\x1b[2Jfallback\n"};
    from_file.overhead.programs = {{.name = "\x1b[2Jprogram", .run_cnt = 1, .run_time_ns = 1}};
    snapshots.emplace_back("from a file", from_file);
    for (const auto& [name, snapshot] : snapshots) {
        const json document = json::parse(render_json(json_report(snapshot), true));
        const json flat = document.flatten();
        for (const auto& [pointer, value] : flat.items()) {
            if (value.is_string()) {
                const auto text = value.get<std::string>();
                EXPECT_EQ(text, printable(text)) << name << " " << pointer;
            }
        }
    }
}

TEST(RenderJson, HasTheFiguresOfTheReport)
{
    for (const auto& [name, snapshot] : all_snapshots()) {
        const Report report = json_report(snapshot, name == "grouped" ? 2 : 0);
        const json document = json::parse(render_json(report, false));
        EXPECT_EQ(document.at("schema"), "vtrace/1");
        EXPECT_EQ(document.at("tool"), "runqlat");
        EXPECT_EQ(document.at("duration_ns").get<uint64_t>(), report.duration_ns);
        ASSERT_EQ(document.at("rows").size(), report.rows.size());
        for (size_t i = 0; i < report.rows.size(); i++) {
            const json& row = document.at("rows").at(i);
            EXPECT_EQ(row.at("entity").at("kind"), report.rows[i].entity.kind);
            EXPECT_EQ(row.at("entity").at("id").get<uint64_t>(), report.rows[i].entity.id);
            EXPECT_EQ(row.at("entity").value("ended", false), report.rows[i].entity.ended);
            EXPECT_EQ(row.at("entity").at("cgroup").is_null(),
                      report.rows[i].entity.cgroup.empty());
            expect_histogram(row.at("metrics").at("wait"), report.rows[i].histogram);
        }
        if (report.rows_left_out != 0) {
            EXPECT_EQ(document.at("rows_left_out").get<size_t>(), report.rows_left_out);
            expect_histogram(document.at("left_out"), report.left_out);
        } else {
            EXPECT_FALSE(document.contains("left_out"));
        }
        ASSERT_EQ(document.at("open").size(), report.open.size());
        for (size_t i = 0; i < report.open.size(); i++) {
            EXPECT_EQ(document.at("open").at(i).at("tid").get<uint32_t>(), report.open[i].wait.tid);
            EXPECT_EQ(document.at("open").at(i).at("pid").get<uint32_t>(),
                      report.open[i].wait.tgid);
            EXPECT_EQ(document.at("open").at(i).at("age_ns").get<uint64_t>(),
                      report.open[i].wait.wait_ns);
        }
        for (const LossCounter& counter : loss_counters())
            EXPECT_EQ(document.at("loss").at(std::string(counter.key)).get<uint64_t>(),
                      report.loss.*counter.count);
        EXPECT_FALSE(document.contains("overhead"));
    }
}

TEST(RenderJson, OverheadOnRequest)
{
    const Report report = json_report(test::host_snapshot());
    const json overhead = json::parse(render_json(report, true)).at("overhead");
    EXPECT_EQ(overhead.at("programs").at(0).at("name"), "sched_switch");
    EXPECT_EQ(overhead.at("programs").at(0).at("run_cnt"), 123'456);
    EXPECT_EQ(overhead.at("programs").at(0).at("run_time_ns"), 61'728'000);
    EXPECT_EQ(overhead.at("rss_bytes"), 9'437'184);
}

TEST(RenderJson, TheLastBucketEndsBehindTheLargestValue)
{
    for (const uint64_t value :
         {uint64_t{1} << 36, (uint64_t{1} << 40) + 5, UINT64_MAX - 1, UINT64_MAX}) {
        Snapshot snapshot;
        Histogram one;
        one.add(value);
        snapshot.sched.times = {test::waits(0, one)};
        const json document = json::parse(render_json(json_report(snapshot), false));
        const json bucket = document.at("rows").at(0).at("metrics").at("wait").at("buckets").at(0);
        EXPECT_LT(bucket.at(0).get<uint64_t>(), bucket.at(1).get<uint64_t>()) << value;
        EXPECT_GE(bucket.at(1).get<uint64_t>(), value);
    }
}

} // namespace
} // namespace vtrace
