// SPDX-License-Identifier: GPL-2.0-only
// netq: from a snapshot to the text and the JSON, and the paths in them.
#include "collect/netq_collector.h"
#include "model/netq.h"
#include "render/json.h"
#include "render/netq_text.h"
#include "samples.h"
#include "support.h"
#include "tools/net_paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace vtrace {
namespace {

using test::names_of;
using test::netq_snapshot;
using test::value;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Report report_of(const ToolOptions& options, const Snapshot& snapshot = netq_snapshot())
{
    return test::tool("netq").build(snapshot, options);
}

std::string text_of(const ToolOptions& options, const Snapshot& snapshot = netq_snapshot())
{
    return render_text(report_of(options, snapshot), {}, false, netq_text);
}

const Row& row_named(const std::vector<Row>& rows, const std::string& name)
{
    const auto found =
        std::ranges::find(rows, name, [](const Row& row) { return row.entity.name; });
    EXPECT_NE(found, rows.end()) << name;
    return *found;
}

std::string told(const Row& row, std::string_view kind)
{
    for (const EntityName& label : row.entity.labels) {
        if (label.kind == kind)
            return label.name;
    }
    return "";
}

TEST(Netq, WhoseADeviceIs)
{
    const Report report = report_of({.group = "container", .json = true});
    EXPECT_THAT(names_of(report.rows),
                ElementsAre("container web", "host node-7", "host not in a container",
                            "other unknown", "netns router\x1b"));
    const Row& web = report.rows[0];
    EXPECT_THAT(std::vector<std::string>(names_of(web.rows)).at(0), "device vethab12");
    EXPECT_EQ(told(row_named(web.rows, "vethab12"), "owner"), "peer");
    EXPECT_EQ(told(row_named(web.rows, "vethab12"), "netns"), "host");
    EXPECT_EQ(told(row_named(web.rows, "eth0"), "owner"), "netns");
    EXPECT_EQ(told(row_named(web.rows, "eth0"), "netns"), "web");
    EXPECT_EQ(told(row_named(web.rows, "eth0"), "peer"), "vethab12");
    EXPECT_EQ(told(row_named(report.rows[2].rows, "tap0"), "owner"), "holder");
    const Report by_vm = report_of({.group = "vm", .json = true});
    EXPECT_THAT(names_of(by_vm.rows), testing::Contains("vm vm-9"));
}

// A veth whose other end was not found is not the host's for that.
TEST(Netq, WhoseIsNotKnown)
{
    const Report report = report_of({.group = "container", .json = true});
    const Row& unknown = row_named(report.rows, "unknown");
    EXPECT_EQ(unknown.entity.kind, "other");
    EXPECT_THAT(names_of(unknown.rows), ElementsAre("device vethcd34"));
}

// Packets of what came and went within the report are known by their paths only.
TEST(Netq, WhatHasGone)
{
    Snapshot snapshot = netq_snapshot();
    NetDevice& inside = snapshot.netq.devices.at(5);
    inside.counts.reset();
    inside.wait = {};
    inside.not_timed = 0;
    const Report report = report_of({.group = "container", .json = true}, snapshot);
    EXPECT_EQ(value(row_named(report.rows[0].rows, "eth0"), "rx_packets"), -1);
    EXPECT_THAT(names_of(report.rows[0].rows), testing::Contains("hop sent by eth0"));
}

TEST(Netq, FiguresOfADevice)
{
    const Report report = report_of({.group = "container", .json = true});
    const Row& eth0 = row_named(report.rows[0].rows, "eth0");
    EXPECT_EQ(value(eth0, "tx_packets"), 5'000);
    EXPECT_EQ(value(eth0, "tx_lost"), 12);
    EXPECT_EQ(value(eth0, "not_timed"), 4);
    EXPECT_EQ(eth0.histograms.at(0).name, "queue");
    EXPECT_EQ(eth0.histograms.at(0).histogram.count(), 5'000U);
    const Row& gone = report.rows[4].rows.front();
    EXPECT_EQ(value(gone, "rx_packets"), -1) << "unknown is not 0";
}

TEST(Netq, IdleDevicesAreLeftOut)
{
    const Report report = report_of({.group = "container", .json = true});
    for (const Row& row : report.rows)
        EXPECT_THAT(names_of(row.rows), Not(testing::Contains("device br0")));
    Snapshot snapshot = netq_snapshot();
    snapshot.netq = {};
    EXPECT_THAT(text_of({.group = "cgroup"}, snapshot),
                HasSubstr("no network device had a packet"));
}

TEST(Netq, OnlyOfATarget)
{
    Snapshot snapshot = netq_snapshot();
    select_devices_in(43, 0, snapshot);
    EXPECT_THAT(names_of(report_of({.group = "container"}, snapshot).rows),
                ElementsAre("container web"));
    select_devices_in(0, 7, snapshot);
    EXPECT_THAT(names_of(report_of({.group = "vm"}, snapshot).rows), ElementsAre("vm vm-9"));
    select_devices_in(42, 0, snapshot);
    EXPECT_THAT(report_of({.group = "container"}, snapshot).rows, IsEmpty());
}

std::vector<std::string> steps_of(const NetPaths& paths)
{
    std::vector<std::string> steps;
    for (const auto& [hop, depth] : paths.steps)
        steps.push_back(std::string(depth, '>') + hop->name +
                        (hop->to.where == NetPoint::Where::kSent ? " sends" : " receives"));
    return steps;
}

TEST(NetPaths, FromAndToADevice)
{
    const Snapshot snapshot = netq_snapshot();
    const NetDeviceId inside{.netns = 4'026'531'841, .ifindex = 2};
    EXPECT_THAT(steps_of(NetPathFinder(snapshot.netq).through({inside})),
                ElementsAre("eth0 sends", ">vethab12 receives", ">>eth0 sends", //
                            "eth0 receives", ">vethab12 sends", ">>eth0 receives"))
        << "not the branch to the tap";
}

TEST(NetPaths, ACircleEnds)
{
    const Snapshot snapshot = netq_snapshot();
    const NetDeviceId tap{.netns = 4'026'531'840, .ifindex = 9};
    EXPECT_THAT(steps_of(NetPathFinder(snapshot.netq).through({tap})),
                ElementsAre("eth0 receives", ">tap0 sends", "tap0 receives", "> sends"));
}

TEST(NetPaths, AThicketIsCut)
{
    NetqSnapshot netq;
    const auto point = [](uint32_t i, NetPoint::Where where) {
        return NetPoint{.device = {.netns = 1, .ifindex = i}, .where = where};
    };
    for (uint32_t i = 1; i <= 30; i++) {
        netq.hops.push_back({.to = point(i, NetPoint::Where::kReceived)});
        for (uint32_t k = 1; k <= 30; k++)
            netq.hops.push_back({.from = point(i, NetPoint::Where::kReceived),
                                 .to = point(k, NetPoint::Where::kReceived)});
    }
    const NetPaths paths = NetPathFinder(netq).through({{.netns = 1, .ifindex = 1}});
    EXPECT_EQ(paths.steps.size(), 256U);
    EXPECT_GT(paths.left_out, 0U);
    for (const PathStep& step : paths.steps)
        EXPECT_LT(step.depth, 16U);
}

TEST(Netq, TextSaysWhereAndWhy)
{
    const std::string text = text_of({.group = "container"});
    EXPECT_THAT(text, HasSubstr("tbf of eth0"));
    EXPECT_THAT(text, HasSubstr("eth0: 4 packets left its queue"));
    EXPECT_THAT(text, HasSubstr("\n  vethab12 (host) receives "));
    EXPECT_THAT(text, HasSubstr("\n    eth0 (host) sends "));
    EXPECT_THAT(text, HasSubstr("backlog: 31 of 900 polls took all of their budget"));
    EXPECT_THAT(text, HasSubstr("driver of tap0"));
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(Netq, Golden)
{
    test::expect_golden("netq.txt", text_of({.group = "container"}));
    test::expect_golden("netq.json",
                        render_json(report_of({.group = "container", .json = true}), false));
}

} // namespace
} // namespace vtrace
