// SPDX-License-Identifier: GPL-2.0-only
#include "collect/net_links.h"

#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cstring>
#include <string_view>
#include <vector>

namespace vtrace {
namespace {

// A message of rtnetlink, put together as the kernel does it.
class Message {
public:
    explicit Message(int ifindex)
    {
        nlmsghdr header{.nlmsg_type = RTM_NEWLINK};
        ifinfomsg info{.ifi_index = ifindex};
        put(&header, sizeof(header));
        put(&info, sizeof(info));
    }
    void add(uint16_t type, const void* data, size_t size)
    {
        const nlattr head{.nla_len = static_cast<uint16_t>(sizeof(nlattr) + size),
                          .nla_type = type};
        put(&head, sizeof(head));
        put(data, size);
    }
    void add(uint16_t type, std::string_view text) { add(type, text.data(), text.size()); }
    void add(uint16_t type, uint32_t number) { add(type, &number, sizeof(number)); }
    const nlmsghdr& get()
    {
        const auto size = static_cast<uint32_t>(bytes_.size());
        std::memcpy(bytes_.data(), &size, sizeof(size)); // nlmsg_len
        return *reinterpret_cast<const nlmsghdr*>(bytes_.data());
    }

private:
    void put(const void* data, size_t size)
    {
        const auto* from = static_cast<const char*>(data);
        bytes_.insert(bytes_.end(), from, from + size);
        bytes_.resize((bytes_.size() + 3) / 4 * 4);
    }
    std::vector<char> bytes_;
};

TEST(NetLinks, WhatAMessageTells)
{
    using namespace std::string_view_literals;
    Message message(7);
    message.add(IFLA_IFNAME, "vethab12\0"sv);
    message.add(IFLA_QDISC, "noqueue\0"sv);
    message.add(IFLA_LINK, 2U);
    message.add(IFLA_LINK_NETNSID, 1U);
    rtnl_link_stats64 stats{};
    stats.rx_packets = 10;
    stats.rx_dropped = 1;
    stats.rx_errors = 2;
    stats.tx_bytes = 1ULL << 40;
    message.add(IFLA_STATS64, &stats, sizeof(stats));
    const nlattr kind{.nla_len = sizeof(nlattr) + 5, .nla_type = IFLA_INFO_KIND};
    std::array<char, 12> info{};
    std::memcpy(info.data(), &kind, sizeof(kind));
    std::memcpy(info.data() + sizeof(kind), "veth", 5);
    message.add(IFLA_LINKINFO, info.data(), info.size());
    const NetLink link = link_of(message.get(), 99);
    EXPECT_EQ(link.id, (NetDeviceId{.netns = 99, .ifindex = 7}));
    EXPECT_EQ(link.name, "vethab12");
    EXPECT_EQ(link.queue, "noqueue");
    EXPECT_EQ(link.kind, "veth");
    EXPECT_EQ(link.other_ifindex, 2U);
    EXPECT_TRUE(link.other_netns);
    EXPECT_EQ(link.counts.rx_packets, 10U);
    EXPECT_EQ(link.counts.rx_lost, 3U);
    EXPECT_EQ(link.counts.tx_bytes, 1ULL << 40);
}

// A VLAN's IFLA_LINK is the device below it, which is no other end.
TEST(NetLinks, OnlyAVethHasAnotherEnd)
{
    Message message(7);
    message.add(IFLA_IFNAME, "vlan5");
    message.add(IFLA_LINK, 2U);
    EXPECT_EQ(link_of(message.get(), 1).other_ifindex, 0U);
}

TEST(NetLinks, DamagedMessages)
{
    Message message(7);
    message.add(IFLA_LINK, "x"); // no number
    message.add(IFLA_STATS64, "short");
    message.add(IFLA_IFNAME, "");
    const NetLink link = link_of(message.get(), 1);
    EXPECT_EQ(link.other_ifindex, 0U);
    EXPECT_EQ(link.name, "");
    EXPECT_EQ(link.counts.tx_packets, 0U);
}

NetLink veth(uint32_t netns, uint32_t ifindex, uint32_t other, bool away)
{
    return {.id = {.netns = netns, .ifindex = ifindex},
            .kind = "veth",
            .other_ifindex = other,
            .other_netns = away};
}

TEST(NetLinks, TheOtherEnd)
{
    const NetLink outside = veth(1, 7, 2, true);
    const NetLink inside = veth(5, 2, 7, true);
    const std::vector<NetLink> all = {outside, inside, veth(1, 8, 2, true), veth(6, 2, 8, true)};
    EXPECT_EQ(NetPeers(all).of(outside), inside.id);
    EXPECT_EQ(NetPeers(all).of(inside), outside.id);
    EXPECT_EQ(NetPeers(all).of(veth(1, 3, 4, false)), (NetDeviceId{.netns = 1, .ifindex = 4}))
        << "in its own namespace";
    EXPECT_EQ(NetPeers(all).of(veth(1, 9, 2, true)), NetDeviceId{}) << "that is not found";
    EXPECT_EQ(NetPeers(all).of({.id = {.netns = 1, .ifindex = 1}}), NetDeviceId{});
}

// Numbers of devices are those of their namespaces: two pairs may look alike.
TEST(NetLinks, AnotherEndThatCouldBeTwo)
{
    const NetLink outside = veth(1, 7, 2, true);
    const std::vector<NetLink> all = {outside, veth(5, 2, 7, true), veth(6, 2, 7, true)};
    EXPECT_EQ(NetPeers(all).of(outside), NetDeviceId{});
}

} // namespace
} // namespace vtrace
