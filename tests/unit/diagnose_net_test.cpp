// SPDX-License-Identifier: GPL-2.0-only
// The rules about the network and softirqs: from snapshots by the tools' reports to findings.
#include "diagnose/rules.h"
#include "entity/entities.h"
#include "samples.h"
#include "vtrace/tcp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <string>
#include <utility>
#include <vector>

namespace vtrace {
namespace {

using test::histogram;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint64_t kUs = 1'000;
constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint32_t kHostNet = 4'026'531'840;
constexpr uint64_t kDb = 42;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

// The host node-7, for 5 s, with a container db.
Snapshot host()
{
    Snapshot s = test::tcp_snapshot();
    s.tcp.figures.clear();
    s.tcp.connecting.clear();
    s.drops.namespaces = {{.inum = kHostNet, .host = true, .cgroup_id = 1},
                          {.inum = kHostNet + 1, .cgroup_id = kDb}};
    s.netq.namespaces = s.drops.namespaces;
    return s;
}

Facts facts_of(const Snapshot& s)
{
    Facts facts;
    for (const char* name : {"tcpretrans", "netdrop", "netq", "blame"})
        facts.reports[name] =
            test::tool(name).build(s, {.group = std::string(kNearest), .json = true});
    facts.reports["softirqs"] = test::tool("softirqs").build(s, {.json = true});
    facts.knobs = {{"/proc/sys/net/core/rmem_max", "212992"},
                   {"/proc/sys/net/core/somaxconn", "4096"},
                   {"/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456"},
                   {"/proc/sys/net/ipv4/tcp_congestion_control", "cubic"}};
    return facts;
}

std::vector<Finding> find(const Rule& rule, const Facts& facts)
{
    std::vector<Finding> findings;
    rule.find({rule, rule.limits, facts}, findings);
    return findings;
}

std::vector<Finding> find(const Rule& rule, const Snapshot& s)
{
    return find(rule, facts_of(s));
}

std::vector<Rule> net_rules()
{
    return {net_retransmits_rule(), net_drops_rule(), net_queue_rule(), softirq_starvation_rule()};
}

using Intensities = std::vector<std::pair<uint64_t, Severity>>;

TcpFigure& connection(Snapshot& s, const char* remote, uint64_t sent)
{
    return s.tcp.figures.emplace_back(TcpFigure{
        .peer = {.owner = {.cgroup_id = kDb}, .remote = remote, .port = 5432, .side = VT_TCP_IN},
        .volume = {.segments_out = sent}});
}

void again(TcpFigure& figure, uint32_t kind, uint64_t segments)
{
    figure.again.push_back(
        {.kind = kind, .state = BPF_TCP_ESTABLISHED, .segments = segments, .events = segments});
}

PacketDrops& drop(Snapshot& s, const char* reason, uint64_t packets, uint8_t protocol = kUdp)
{
    constexpr uint16_t kIpv4 = 0x0800;
    return s.drops.drops.emplace_back(PacketDrops{.cgroup_id = kDb,
                                                  .netns = kHostNet + 1,
                                                  .reason = reason,
                                                  .location = "somewhere",
                                                  .ether = kIpv4,
                                                  .protocol = protocol,
                                                  .packets = packets,
                                                  .bytes = 100 * packets});
}

NetDevice& device(Snapshot& s, const char* name, const char* queue, const Histogram& wait)
{
    return s.netq.devices.emplace_back(NetDevice{
        .id = {.netns = kHostNet + 1, .ifindex = static_cast<uint32_t>(s.netq.devices.size() + 1)},
        .name = name,
        .queue = queue,
        .counts = NetCounts{.rx_packets = 50'000, .tx_packets = 50'000},
        .wait = wait});
}

void softirq(Snapshot& s, uint32_t number, uint32_t cpu, uint64_t ns, const Histogram& delay)
{
    s.irq.times.push_back(
        {.kind = {.number = number}, .cpu = cpu, .time = histogram({{ns, 1}}), .delay = delay});
}

TEST(NetRules, NoneWithoutReportsOrOnAnIdleHost)
{
    for (const Rule& rule : net_rules()) {
        EXPECT_THAT(find(rule, Facts{}), IsEmpty()) << rule.name;
        EXPECT_THAT(find(rule, test::empty_snapshot()), IsEmpty()) << rule.name;
        EXPECT_THAT(find(rule, host()), IsEmpty()) << rule.name;
    }
}

TEST(NetRules, EveryLimitGrowsAndHasASource)
{
    for (const Rule& rule : net_rules()) {
        EXPECT_LT(0, rule.limits.p3) << rule.name;
        EXPECT_LT(rule.limits.p3, rule.limits.p2) << rule.name;
        EXPECT_LT(rule.limits.p2, rule.limits.p1) << rule.name;
        EXPECT_LT(rule.limits.p1, rule.limits.p0) << rule.name;
        EXPECT_LT(0, rule.limits.least) << rule.name;
        EXPECT_FALSE(rule.source.empty()) << rule.name;
    }
}

// As iperf3 on loopback does: softirqs take most of a CPU, queues are long, round trips too, and some probes are sent.
TEST(NetRules, LoopbackAtFullSpeedIsNoMoreThanWorthToKnow)
{
    Snapshot s = host();
    TcpFigure& iperf = connection(s, "127.0.0.1", 2'000'000);
    iperf.round_trip = histogram({{8 * kMs, 100'000}});
    again(iperf, VT_TCP_PROBE, 30);
    device(s, "lo", "noqueue", histogram({{50 * kMs, 10'000}}));
    s.netq.devices.push_back({.polls = 100'000, .exhausted = 900, .wait = {}});
    softirq(s, 3, 0, 4'600 * kMs, histogram({{30 * kUs, 90'000}, {3 * kMs, 300}}));
    drop(s, "TCP_OLD_DATA", 4'000, kTcp);
    for (const Rule& rule : net_rules()) {
        for (const Finding& finding : find(rule, s))
            EXPECT_EQ(finding.severity, Severity::kP3) << finding.what;
    }
}

TEST(NetRetransmits, LossByKindAndPeer)
{
    const Intensities intensities = {
        {150, Severity::kP3}, {500, Severity::kP2}, {1'200, Severity::kP1}, {2'500, Severity::kP0}};
    for (const auto& [segments, severity] : intensities) {
        Snapshot s = host();
        TcpFigure& bad = connection(s, "10.0.0.3", 8'000);
        again(bad, VT_TCP_FAST, segments - 20);
        again(bad, VT_TCP_BY_TIMEOUT, 20);
        again(connection(s, "10.0.0.4", 2'000), VT_TCP_PROBE, 40);
        const auto findings = find(net_retransmits_rule(), s);
        ASSERT_THAT(findings, SizeIs(1)) << segments;
        const Finding& finding = findings.front();
        EXPECT_EQ(finding.severity, severity) << segments;
        EXPECT_EQ(finding.entity.name, "db");
        EXPECT_DOUBLE_EQ(finding.evidence[0].value, static_cast<double>(segments) / 10'000);
        ASSERT_TRUE(finding.culprit);
        EXPECT_THAT(finding.culprit->name, HasSubstr("10.0.0.3"));
        EXPECT_EQ(finding.advice.at(0).knob, "/proc/sys/net/ipv4/tcp_congestion_control");
        EXPECT_EQ(finding.advice.at(0).present, "cubic");
        EXPECT_THAT(finding.ruled_out, Contains(HasSubstr("40 segments")));
        EXPECT_THAT(finding.ruled_out, Contains(HasSubstr("its own device's queue")));
    }
}

TEST(NetRetransmits, SpreadLossHasNoCulprit)
{
    Snapshot s = host();
    for (const char* remote : {"10.0.0.3", "10.0.0.4", "10.0.0.5"})
        again(connection(s, remote, 1'000), VT_TCP_BY_TIMEOUT, 100);
    drop(s, "QDISC_DROP", 250, kTcp);
    const auto findings = find(net_retransmits_rule(), s);
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_FALSE(findings[0].culprit);
    EXPECT_THAT(findings[0].ruled_out, SizeIs(1)); // not the queue
    EXPECT_THAT(findings[0].advice.at(0).text, HasSubstr("timeout"));
}

TEST(NetRetransmits, TooFew)
{
    Snapshot s = host();
    again(connection(s, "10.0.0.3", 99), VT_TCP_BY_TIMEOUT, 60);
    EXPECT_THAT(find(net_retransmits_rule(), s), IsEmpty());
    s = host();
    again(connection(s, "10.0.0.3", 120), VT_TCP_BY_TIMEOUT, 9);
    EXPECT_THAT(find(net_retransmits_rule(), s), IsEmpty());
}

TEST(NetDrops, AFullSocket)
{
    const Intensities intensities = {{20, Severity::kP3},
                                     {200, Severity::kP2},
                                     {6'000, Severity::kP1},
                                     {200'000, Severity::kP0}};
    for (const auto& [packets, severity] : intensities) {
        Snapshot s = host();
        drop(s, "SOCKET_RCVBUFF", packets);
        drop(s, "NO_SOCKET", packets / 2);
        const auto findings = find(net_drops_rule(), s);
        ASSERT_THAT(findings, SizeIs(1)) << packets;
        const Finding& finding = findings.front();
        EXPECT_EQ(finding.severity, severity) << packets;
        EXPECT_DOUBLE_EQ(finding.evidence[0].value, static_cast<double>(packets) / 5);
        ASSERT_TRUE(finding.culprit);
        EXPECT_EQ(finding.culprit->name, "db");
        EXPECT_EQ(finding.advice.at(0).knob, "/proc/sys/net/core/rmem_max");
        EXPECT_EQ(finding.advice.at(0).present, "212992");
        EXPECT_THAT(finding.advice.at(0).suggested, HasSubstr("425984"));
    }
}

TEST(NetDrops, KnobsByProtocolAndReason)
{
    Snapshot s = host();
    drop(s, "SOCKET_BACKLOG", 5'000, kTcp);
    EXPECT_EQ(find(net_drops_rule(), s).at(0).advice.at(0).knob, "/proc/sys/net/ipv4/tcp_rmem");
    s = host();
    drop(s, "PROTO_MEM", 5'000, kUdp);
    EXPECT_EQ(find(net_drops_rule(), s).at(0).advice.at(0).knob, "/proc/sys/net/ipv4/udp_mem");
    s = host();
    drop(s, "CPU_BACKLOG", 5'000);
    const Finding backlog = find(net_drops_rule(), s).at(0);
    EXPECT_THAT(backlog.advice.at(0).knob, HasSubstr("netdev_max_backlog"));
    EXPECT_FALSE(backlog.culprit);
}

TEST(NetDrops, AFullListener)
{
    Snapshot s = host();
    s.drops.listeners = {{.netns = kHostNet + 1, .drops = 4'000, .overflows = 4'000}};
    drop(s, "TCP_LISTEN_OVERFLOW", 100, kTcp); // of the same
    const auto findings = find(net_drops_rule(), s);
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_EQ(findings[0].severity, Severity::kP2);
    EXPECT_DOUBLE_EQ(findings[0].evidence[0].value, 800);
    EXPECT_EQ(findings[0].advice.at(0).knob, "/proc/sys/net/core/somaxconn");
    EXPECT_EQ(findings[0].advice.at(0).present, "4096");
}

// What is dropped on purpose is worth to know at most, however much it is; what is no loss is not even that.
TEST(NetDrops, ExpectedAndHarmless)
{
    for (const char* reason : {"NO_SOCKET", "NETFILTER_DROP", "OPENVSWITCH:5", ""}) {
        Snapshot s = host();
        drop(s, reason, 10'000'000);
        const auto findings = find(net_drops_rule(), s);
        ASSERT_THAT(findings, SizeIs(1)) << reason;
        EXPECT_EQ(findings[0].severity, Severity::kP3) << reason;
        s.drops.drops[0].packets = 30;
        EXPECT_THAT(find(net_drops_rule(), s), IsEmpty()) << reason;
    }
    Snapshot s = host();
    drop(s, "NOT_SPECIFIED", 10'000'000);
    drop(s, "OTHERHOST", 10'000'000);
    EXPECT_THAT(find(net_drops_rule(), s), IsEmpty());
}

TEST(NetDrops, TheShareOfTheTrafficDecides)
{
    Snapshot s = host();
    drop(s, "QDISC_DROP", 200'000, kTcp);
    NetDevice& eth0 = device(s, "eth0", "fq_codel", {});
    const auto severity_of = [&](uint64_t packets) {
        eth0.counts->tx_packets = packets;
        return find(net_drops_rule(), s).at(0).severity;
    };
    EXPECT_EQ(severity_of(100'000), Severity::kP0);
    EXPECT_EQ(severity_of(10'000'000), Severity::kP1);
    EXPECT_EQ(severity_of(100'000'000), Severity::kP2);
    EXPECT_EQ(severity_of(1'000'000'000), Severity::kP3);
}

TEST(NetDrops, TooFew)
{
    Snapshot s = host();
    drop(s, "SOCKET_RCVBUFF", 9);
    EXPECT_THAT(find(net_drops_rule(), s), IsEmpty());
}

TEST(NetQueue, AStandingQueue)
{
    const Intensities intensities = {
        {7, Severity::kP3}, {30, Severity::kP2}, {150, Severity::kP1}, {800, Severity::kP0}};
    for (const auto& [ms, severity] : intensities) {
        Snapshot s = host();
        device(s, "eth0", "pfifo_fast", histogram({{ms * kMs, 5'000}})).sent =
            histogram({{50 * kUs, 5'000}});
        device(s, "eth1", "fq_codel", histogram({{100 * kUs, 5'000}}));
        const auto findings = find(net_queue_rule(), s);
        ASSERT_THAT(findings, SizeIs(1)) << ms;
        const Finding& finding = findings.front();
        EXPECT_EQ(finding.severity, severity) << ms;
        EXPECT_EQ(finding.entity.name, "db");
        EXPECT_THAT(finding.what, HasSubstr("eth0"));
        EXPECT_EQ(finding.advice.at(0).knob, "tc qdisc dev eth0");
        EXPECT_EQ(finding.advice.at(0).present, "pfifo_fast");
        EXPECT_EQ(finding.advice.at(0).suggested, "fq_codel");
        EXPECT_THAT(finding.ruled_out, Contains(HasSubstr("its driver")));
    }
}

TEST(NetQueue, BurstsAndPacingCountForLess)
{
    Snapshot s = host();
    device(s, "eth0", "fq_codel", histogram({{kMs, 900}, {800 * kMs, 100}}));
    EXPECT_EQ(find(net_queue_rule(), s).at(0).severity, Severity::kP2);
    s = host();
    device(s, "eth0", "fq", histogram({{800 * kMs, 1'000}}));
    EXPECT_EQ(find(net_queue_rule(), s).at(0).severity, Severity::kP3);
}

TEST(NetQueue, HealthyOrTooFew)
{
    Snapshot s = host();
    device(s, "eth0", "fq_codel", histogram({{2 * kMs, 100'000}}));
    device(s, "eth1", "tbf", histogram({{800 * kMs, 99}}));
    EXPECT_THAT(find(net_queue_rule(), s), IsEmpty());
}

TEST(SoftirqStarvation, LatePackets)
{
    const Intensities intensities = {
        {7, Severity::kP3}, {30, Severity::kP2}, {150, Severity::kP1}, {800, Severity::kP0}};
    for (const auto& [ms, severity] : intensities) {
        Snapshot s = host();
        for (int run = 0; run < 500; run++)
            softirq(s, 3, 0, kMs, {});
        softirq(s, 3, 0, kUs, histogram({{20 * kUs, 5'000}, {ms * kMs, 100}}));
        softirq(s, 1, 0, kMs, histogram({{20 * kUs, 5'000}}));
        const OwnerId ksoftirqd{.kthread = "ksoftirqd"};
        s.sched.times = {
            {.owner = ksoftirqd, .about = std::string(kWait), .time = histogram({{kSecond, 1}})},
            {.owner = ksoftirqd,
             .about = std::string(kNeighbour),
             .culprit = {.cgroup_id = 43},
             .time = histogram({{kSecond, 1}})}};
        const auto findings = find(softirq_starvation_rule(), s);
        ASSERT_THAT(findings, SizeIs(1)) << ms;
        const Finding& finding = findings.front();
        EXPECT_EQ(finding.severity, severity) << ms;
        EXPECT_EQ(finding.entity.name, "node-7");
        EXPECT_THAT(finding.what, HasSubstr("NET_RX"));
        ASSERT_TRUE(finding.culprit);
        EXPECT_EQ(finding.culprit->name, "web");
        EXPECT_THAT(finding.advice.at(0).knob, HasSubstr("rps_cpus"));
        EXPECT_THAT(finding.advice.at(1).knob, HasSubstr("netdev_budget"));
        EXPECT_THAT(finding.ruled_out, Contains(HasSubstr("10.0 %")));
    }
}

// A run of packets that takes as long as others wait is the cause, and nobody whom ksoftirqd waited for by the way.
TEST(SoftirqStarvation, BehindALongRunOfPackets)
{
    Snapshot s = host();
    softirq(s, 3, 0, 40 * kMs, histogram({{20 * kUs, 5'000}}));
    softirq(s, 1, 0, kMs, histogram({{20 * kUs, 900}, {40 * kMs, 100}}));
    const OwnerId ksoftirqd{.kthread = "ksoftirqd"};
    s.sched.times = {
        {.owner = ksoftirqd, .about = std::string(kWait), .time = histogram({{3 * kMs, 9}})},
        {.owner = ksoftirqd,
         .about = std::string(kNeighbour),
         .culprit = {.cgroup_id = 43},
         .time = histogram({{3 * kMs, 9}})}};
    Facts facts = facts_of(s);
    facts.knobs = {{"/proc/sys/net/core/dev_weight", "1000"}};
    const auto findings = find(softirq_starvation_rule(), facts);
    ASSERT_THAT(findings, SizeIs(1));
    const Finding& finding = findings.front();
    EXPECT_EQ(finding.severity, Severity::kP2);
    EXPECT_THAT(finding.what, HasSubstr("TIMER"));
    EXPECT_FALSE(finding.culprit);
    EXPECT_THAT(finding.evidence,
                Contains(Field(&Evidence::what, HasSubstr("longest run of NET_RX"))));
    EXPECT_EQ(finding.advice.at(0).present, "1000");
    EXPECT_EQ(finding.advice.at(0).suggested, "125 at most");
}

// Grouped by who pays there are no delays: those of devices' polls stand for them.
TEST(SoftirqStarvation, ByThePollsOfDevices)
{
    Snapshot s = host();
    device(s, "eth0", "fq_codel", {}).late = histogram({{20 * kUs, 900}, {40 * kMs, 100}});
    Facts facts = facts_of(s);
    facts.reports["softirqs"] =
        test::tool("softirqs").build(s, {.group = std::string(kNearest), .json = true});
    const auto findings = find(softirq_starvation_rule(), facts);
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_EQ(findings[0].severity, Severity::kP2);
    EXPECT_FALSE(findings[0].culprit);
}

TEST(SoftirqStarvation, AFullCpuIsWorthToKnow)
{
    Snapshot s = host();
    softirq(s, 3, 1, 4'500 * kMs, histogram({{20 * kUs, 50'000}}));
    const auto findings = find(softirq_starvation_rule(), s);
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_EQ(findings[0].severity, Severity::kP3);
    EXPECT_THAT(findings[0].what, HasSubstr("90.0 % of cpu 1"));
}

TEST(SoftirqStarvation, HealthyOrTooFew)
{
    Snapshot s = host();
    softirq(s, 3, 0, 500 * kMs, histogram({{50 * kUs, 99'900}, {4 * kMs, 100}}));
    softirq(s, 4, 0, kMs, histogram({{500 * kMs, 99}}));
    EXPECT_THAT(find(softirq_starvation_rule(), s), IsEmpty());
    s = host();
    softirq(s, 9, 0, kMs, histogram({{900 * kMs, 500}})); // RCU
    EXPECT_EQ(find(softirq_starvation_rule(), s).at(0).severity, Severity::kP3);
}

} // namespace
} // namespace vtrace
