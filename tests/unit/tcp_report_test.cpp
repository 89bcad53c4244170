// SPDX-License-Identifier: GPL-2.0-only
// The tools about TCP: from a snapshot to their text and their JSON.
#include "render/json.h"
#include "render/tcp_text.h"
#include "samples.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace vtrace {
namespace {

using test::names_of;
using test::tcp_snapshot;
using test::value;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr uint64_t kMs = 1'000'000;

Report report_of(const char* tool, const ToolOptions& options,
                 const Snapshot& snapshot = tcp_snapshot())
{
    return test::tool(tool).build(snapshot, options);
}

std::string text_of(const char* tool, const ToolOptions& options,
                    const Snapshot& snapshot = tcp_snapshot())
{
    return render_text(report_of(tool, options, snapshot), {}, false, test::tool(tool).text);
}

const std::vector<const char*> kTools = {"tcpconnlat", "tcprtt", "tcpretrans", "tcplife"};

TEST(Tcpconnlat, ByEntityAndPeer)
{
    const Report report = report_of("tcpconnlat", {.group = "container", .json = true});
    EXPECT_THAT(names_of(report.rows), ElementsAre("container web", "container db"));
    const Row& web = report.rows[0];
    EXPECT_THAT(names_of(web.rows), ElementsAre("peer 10.0.0.2:5432", "peer [fd00::7]:443"));
    EXPECT_EQ(value(web, "connected"), 40);
    EXPECT_EQ(value(web, "failed"), 1);
    EXPECT_EQ(value(web, "refused"), 1);
    EXPECT_EQ(value(web, "timed_out"), 0);
    EXPECT_EQ(web.histogram.max, 1'200 * kMs);
    const Row& db = report.rows[1];
    EXPECT_EQ(value(db, "accepted"), 47);
    EXPECT_EQ(value(db, "untimed"), 1);
    EXPECT_EQ(value(db, "no_first_byte"), -1) << "was not asked for";
    EXPECT_THAT(names_of(db.rows), ElementsAre("peer 10.0.0.3 to :5432", "peer other"));
}

TEST(Tcpconnlat, FirstBytesIfAskedFor)
{
    const Report report =
        report_of("tcpconnlat", {.group = "container", .ttfb = true, .json = true});
    EXPECT_EQ(value(report.rows[0], "no_first_byte"), 2);
    EXPECT_THAT(text_of("tcpconnlat", {.group = "container", .ttfb = true}),
                HasSubstr("first byte: 38 in 2.00ms (p50)"));
    EXPECT_THAT(text_of("tcpconnlat", {.group = "container"}), Not(HasSubstr("first byte")));
}

TEST(Tcpconnlat, WhatNobodyHasAnswered)
{
    EXPECT_THAT(text_of("tcpconnlat", {.group = "container"}),
                HasSubstr("7.00s  [fd00::7]:443  ngi\\x1bnx (pid 4501) of web"));
    const auto json = nlohmann::json::parse(
        render_json(report_of("tcpconnlat", {.group = "container", .json = true}), false));
    ASSERT_EQ(json.at("connecting").size(), 1U);
    EXPECT_EQ(json.at("connecting")[0].at("peer").at("labels").at("remote"), "fd00::7");
    EXPECT_EQ(json.at("connecting")[0].at("age_ns"), 7'000 * kMs);
}

TEST(Tcprtt, ByEntityAndPeer)
{
    const Report report = report_of("tcprtt", {.group = "container", .json = true});
    EXPECT_THAT(names_of(report.rows), ElementsAre("container web", "container db"));
    EXPECT_EQ(report.rows[0].histogram.count(), 800U);
    EXPECT_THAT(names_of(report.rows[0].rows), ElementsAre("peer 10.0.0.2:5432"))
        << "one without a round trip is in no row";
}

TEST(Tcpretrans, ByKindAndState)
{
    const Report report = report_of("tcpretrans", {.group = "container", .json = true});
    EXPECT_THAT(names_of(report.rows), ElementsAre("container db", "container web"));
    const Row& db = report.rows[0];
    EXPECT_EQ(value(db, "retransmitted"), 25);
    EXPECT_EQ(value(db, "sent"), 1'035);
    EXPECT_NEAR(value(db, "rate"), 25.0 / 1'035, 1e-9);
    EXPECT_THAT(names_of(db.rows[0].rows), ElementsAre("retransmit fast", "retransmit timeout"));
    EXPECT_EQ(value(db.rows[0].rows[0], "segments"), 20);
    EXPECT_EQ(value(db.rows[0].rows[0], "events"), 4);
    const auto json = nlohmann::json::parse(render_json(report, false));
    const auto& kind = json.at("rows")[0].at("peers")[0].at("kinds")[1];
    EXPECT_EQ(kind.at("entity").at("labels").at("state"), "LAST_ACK");
    EXPECT_EQ(kind.at("metrics").at("segments").at("value"), 5);
}

TEST(Tcplife, BytesOfOpenSessionsToo)
{
    const Report report = report_of("tcplife", {.group = "container", .json = true});
    const Row& db = report.rows[0];
    EXPECT_EQ(db.entity.name, "db");
    EXPECT_EQ(value(db, "sessions"), 37);
    EXPECT_EQ(value(db, "ages_unknown"), 2);
    EXPECT_EQ(value(db, "open_sessions"), 10);
    EXPECT_EQ(value(db, "bytes_sent"), (1 << 20) + 70);
    EXPECT_EQ(db.histogram.count(), 35U);
}

TEST(Tcp, NothingHappened)
{
    Snapshot snapshot = tcp_snapshot();
    snapshot.tcp = {};
    for (const char* tool : kTools) {
        const std::string text = text_of(tool, {.group = "cgroup"}, snapshot);
        EXPECT_TRUE(text.find("\nno TCP ") != std::string::npos ||
                    text.find("\nTCP sent nothing") != std::string::npos)
            << text;
    }
}

TEST(Tcp, ManyPeersAreCut)
{
    Snapshot snapshot = tcp_snapshot();
    const TcpFigure one = snapshot.tcp.figures[0];
    for (int i = 0; i < 30; i++) {
        TcpFigure more = one;
        more.peer.remote = "10.1.0." + std::to_string(i);
        snapshot.tcp.figures.push_back(more);
    }
    EXPECT_THAT(text_of("tcplife", {.group = "container"}, snapshot), HasSubstr("(22 more)\n"));
    EXPECT_EQ(report_of("tcplife", {.group = "container"}, snapshot).rows[0].rows.size(), 32U);
}

TEST(Tcp, LinesFit)
{
    for (const char* tool : kTools) {
        for (const std::string& line : test::lines_of(text_of(tool, {.group = "cgroup"})))
            EXPECT_LE(line.size(), 80U) << line;
    }
}

TEST(Tcplife, OneSession)
{
    const SlowSession session{.ns = 2'500 * kMs,
                              .volume = {.sent = 1'000, .received = 20, .retransmitted = 3},
                              .remote = "fd00::7",
                              .local = "10.0.0.3",
                              .remote_port = 443,
                              .local_port = 40'000,
                              .side = VT_TCP_OUT,
                              .tgid = 77,
                              .comm = "cu\x1brl"};
    const Entity web{.kind = "container", .name = "web"};
    EXPECT_THAT(render_text(session, web, {}),
                HasSubstr("2.50s   1000     20     3 out  10.0.0.3:40000 [fd00::7]:443 web "
                          "cu\\x1brl (77)\n"));
    const auto json = nlohmann::json::parse(render_json(session, web, "tcplife"));
    EXPECT_EQ(json.at("event"), "slow_session");
    EXPECT_EQ(json.at("bytes_sent"), 1'000);
    EXPECT_EQ(json.at("comm"), "cu\\x1brl");
    EXPECT_FALSE(nlohmann::json::parse(render_json(SlowSession{}, web, "tcplife")).contains("pid"));
}

TEST(Tcp, Golden)
{
    for (const std::string tool : kTools) {
        test::expect_golden(tool + ".txt",
                            text_of(tool.c_str(), {.group = "container", .ttfb = true}));
        test::expect_golden(
            tool + ".json",
            render_json(report_of(tool.c_str(), {.group = "container", .ttfb = true, .json = true}),
                        false));
    }
}

} // namespace
} // namespace vtrace
