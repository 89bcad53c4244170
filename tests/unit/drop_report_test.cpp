// SPDX-License-Identifier: GPL-2.0-only
// netdrop and tcpdrop: from a snapshot to the text and the JSON of each.
#include "collect/drop_collector.h"
#include "model/drops.h"
#include "render/drop_text.h"
#include "render/json.h"
#include "samples.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {
namespace {

using test::drop_snapshot;
using test::names_of;
using test::value;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Report report_of(std::string_view tool, const ToolOptions& options,
                 const Snapshot& snapshot = drop_snapshot())
{
    return test::tool(tool).build(snapshot, options);
}

std::string text_of(std::string_view tool, const ToolOptions& options,
                    const Snapshot& snapshot = drop_snapshot())
{
    return render_text(report_of(tool, options, snapshot), {}, false, netdrop_text);
}

std::string told(const Row& row, std::string_view kind)
{
    for (const EntityName& label : row.entity.labels) {
        if (label.kind == kind)
            return label.name;
    }
    return "";
}

TEST(Netdrop, WorstFirstByOwner)
{
    const Report report = report_of("netdrop", {.group = "container", .json = true});
    EXPECT_THAT(names_of(report.rows),
                ElementsAre("host not in a container", "container db", "container web",
                            "host node-7", "netns router\x1b", "other other",
                            "netns netns:4026531849", "other unknown"));
    const Row& db = report.rows[1];
    EXPECT_EQ(value(db, "packets"), 5'012);
    EXPECT_EQ(value(db, "bytes"), 5'000 * 528 + 12 * 1'400);
    EXPECT_THAT(names_of(db.rows), ElementsAre("drop SOCKET_RCVBUFF", "drop TCP_OLD_DATA"));
}

TEST(Netdrop, WhatADropTells)
{
    const Report report = report_of("netdrop", {.group = "container", .json = true});
    const Row& full = report.rows[1].rows[0];
    EXPECT_EQ(told(full, "location"), "udp_queue_rcv_one_skb");
    EXPECT_EQ(told(full, "protocol"), "UDP");
    EXPECT_EQ(told(full, "family"), "IPv4");
    EXPECT_EQ(told(full, "device"), "eth0");
    EXPECT_EQ(told(full, "owner"), "socket");
    EXPECT_EQ(told(full, "state"), "") << "of TCP only";
    const Row& closed = report.rows[2].rows[0];
    EXPECT_EQ(told(closed, "protocol"), "UDP6");
    EXPECT_EQ(told(closed, "device"), "if7") << "its name is not known";
    EXPECT_EQ(told(closed, "owner"), "netns");
}

TEST(Tcpdrop, OnlyTcpWithItsStates)
{
    const Report report = report_of("tcpdrop", {.group = "container", .json = true});
    EXPECT_THAT(names_of(report.rows),
                ElementsAre("container db", "container web", "other unknown"));
    EXPECT_EQ(told(report.rows[0].rows[0], "state"), "ESTABLISHED");
    EXPECT_EQ(told(report.rows[1].rows[0], "state"), "LISTEN");
    EXPECT_EQ(told(report.rows[2].rows[0], "state"), "no socket");
}

// It is of the whole host and of all protocols.
TEST(Netdrop, WhatFoundNoRoomIsNoRowOfATarget)
{
    const auto is_other = [](const Row& row) { return row.entity.name == "other"; };
    const auto check = [&](std::string_view tool, const ToolOptions& options, bool row) {
        const Report report = report_of(tool, options);
        EXPECT_EQ(std::ranges::any_of(report.rows, is_other), row) << tool;
        EXPECT_EQ(report.notes.empty(), row) << tool;
        Snapshot none = drop_snapshot();
        none.drops.other_packets = 0;
        EXPECT_TRUE(report_of(tool, options, none).notes.empty()) << tool;
    };
    const ToolOptions all{.group = "container", .json = true};
    const ToolOptions one{
        .group = "container", .target_kind = "container", .target = "web", .json = true};
    check("netdrop", all, true);
    check("netdrop", one, false);
    check("tcpdrop", all, false);
    check("tcpdrop", one, false);
}

// Of the same kind but for what no row tells: where the namespace differs.
TEST(Netdrop, WhatLooksTheSameIsOne)
{
    Snapshot snapshot = drop_snapshot();
    PacketDrops again = snapshot.drops.drops.front();
    again.netns++;
    snapshot.drops.drops.push_back(again);
    const Report report = report_of("netdrop", {.group = "container", .json = true}, snapshot);
    EXPECT_EQ(report.rows[1].rows.size(), 2U);
    EXPECT_EQ(value(report.rows[1].rows[0], "packets"), 10'000);
}

TEST(Netdrop, KernelsWithoutReasons)
{
    Snapshot snapshot = drop_snapshot();
    for (PacketDrops& drops : snapshot.drops.drops)
        drops.reason.clear();
    const Report report = report_of("netdrop", {.group = "container", .json = true}, snapshot);
    EXPECT_THAT(names_of(report.rows[1].rows),
                ElementsAre("drop udp_queue_rcv_one_skb", "drop tcp_data_queue"));
    const std::string text = text_of("netdrop", {.group = "container"}, snapshot);
    EXPECT_THAT(text, HasSubstr("udp_queue_rcv_one_skb\n"));
    EXPECT_THAT(text, Not(HasSubstr(" in udp_queue")));
}

TEST(Netdrop, NothingHappened)
{
    Snapshot snapshot = drop_snapshot();
    snapshot.drops = {};
    EXPECT_THAT(text_of("netdrop", {.group = "cgroup"}, snapshot),
                HasSubstr("no packet was dropped\n"));
    EXPECT_THAT(text_of("tcpdrop", {.group = "cgroup"}, snapshot),
                HasSubstr("no TCP packet was dropped\n"));
}

TEST(Netdrop, WhatListenersRefused)
{
    for (const std::string tool : {"netdrop", "tcpdrop"}) {
        const Report report = report_of(tool, {.group = "container", .json = true});
        const auto web =
            std::ranges::find(report.rows, "web", [](const Row& row) { return row.entity.name; });
        ASSERT_NE(web, report.rows.end());
        EXPECT_EQ(value(*web, "listen_drops"), 40);
        EXPECT_EQ(value(*web, "listen_overflows"), 38);
        EXPECT_THAT(text_of(tool, {.group = "container"}), HasSubstr("40 refused by"));
    }
}

TEST(Drops, CountsOfListeners)
{
    const auto counts = listen_counts("TcpExt: SyncookiesSent ListenOverflows ListenDrops\n"
                                      "TcpExt: 1 38 40\n"
                                      "IpExt: ListenDrops\nIpExt: 7\n");
    EXPECT_EQ(counts.drops, 40U);
    EXPECT_EQ(counts.overflows, 38U);
    for (const char* damaged :
         {"", "\n", "TcpExt:", "TcpExt: ListenDrops\n", "TcpExt: ListenDrops\nTcpExt:\n",
          "TcpExt: ListenDrops\nIpExt: 5\n", "TcpExt: ListenDrops\nTcpExt: x\n"})
        EXPECT_EQ(listen_counts(damaged).drops, 0U) << damaged;
}

TEST(Netdrop, ExplainsCommonReasonsOnce)
{
    const std::string text = text_of("netdrop", {.group = "container"});
    EXPECT_THAT(text, HasSubstr("SOCKET_RCVBUFF: the socket's receive buffer was full\n"));
    EXPECT_THAT(text, Not(HasSubstr("TCP_FLAGS: ")));
}

TEST(Netdrop, OnlyOfACgroup)
{
    Snapshot snapshot = drop_snapshot();
    keep_drops_in(40, snapshot); // docker
    EXPECT_EQ(snapshot.drops.drops.size(), 4U) << "db and web, by socket and by namespace";
    keep_drops_in(43, snapshot);
    EXPECT_EQ(snapshot.drops.drops.size(), 2U);
    keep_drops_in(44, snapshot);
    EXPECT_THAT(snapshot.drops.drops, IsEmpty());
}

TEST(Drops, NamesOfProtocols)
{
    const auto name = [](uint16_t ether, uint8_t protocol) {
        return protocol_name({.ether = ether, .protocol = protocol});
    };
    EXPECT_EQ(name(0x0800, 6), "TCP");
    EXPECT_EQ(name(0x86dd, 58), "ICMP6");
    EXPECT_EQ(name(0x86dd, 0), "IP6");
    EXPECT_EQ(name(0x0800, 200), "IP:200");
    EXPECT_EQ(name(0x0806, 0), "ARP");
    EXPECT_EQ(name(0x88b5, 0), "0x88b5");
    EXPECT_EQ(name(0, 0), "-");
    EXPECT_EQ(name(0, 6), "TCP") << "not made up yet";
}

TEST(Drops, NamesOfStates)
{
    EXPECT_EQ(tcp_state_name(0), "no socket");
    EXPECT_EQ(tcp_state_name(6), "TIME_WAIT");
    EXPECT_EQ(tcp_state_name(12), "SYN_RECV");
    EXPECT_EQ(tcp_state_name(13), "13");
    EXPECT_EQ(tcp_state_name(UINT32_MAX), "4294967295");
}

TEST(Netdrop, Golden)
{
    for (const std::string tool : {"netdrop", "tcpdrop"}) {
        test::expect_golden(tool + ".txt", text_of(tool, {.group = "container"}));
        test::expect_golden(
            tool + ".json",
            render_json(report_of(tool, {.group = "container", .json = true}), false));
    }
}

} // namespace
} // namespace vtrace
