// SPDX-License-Identifier: GPL-2.0-only
#include "model/tcp.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace vtrace {
namespace {

vt_address address(const std::string& text)
{
    vt_address result = {};
    EXPECT_EQ(::inet_pton(AF_INET6, text.c_str(), &result), 1) << text;
    return result;
}

TEST(AddressText, AsPeopleWriteThem)
{
    EXPECT_EQ(address_text(address("::ffff:10.0.0.2")), "10.0.0.2");
    EXPECT_EQ(address_text(address("::ffff:0.0.0.0")), "0.0.0.0");
    EXPECT_EQ(address_text(address("fd00::1")), "fd00::1");
    EXPECT_EQ(address_text(address("::1")), "::1");
    EXPECT_EQ(address_text(address("::fffe:10.0.0.2")), "::fffe:a00:2");
    EXPECT_EQ(address_text({}), "");
}

TEST(PeerName, OfWhoWasConnectedTo)
{
    const TcpPeer peer{.remote = "10.0.0.2", .port = 80, .side = VT_TCP_OUT};
    EXPECT_EQ(peer_name(peer, {}), "10.0.0.2:80");
    EXPECT_EQ(peer_name(peer, {.port = false}), "10.0.0.2");
    EXPECT_EQ(peer_name(peer, {.bits4 = 24}), "10.0.0.2/24:80");
    const TcpPeer v6{.remote = "fd00::1", .port = 80, .side = VT_TCP_OUT};
    EXPECT_EQ(peer_name(v6, {}), "[fd00::1]:80");
    EXPECT_EQ(peer_name(v6, {.bits6 = 64}), "[fd00::1/64]:80");
    const TcpPeer from{.remote = "10.0.0.2", .local = "10.0.0.3", .port = 80, .side = VT_TCP_OUT};
    EXPECT_EQ(peer_name(from, {.local = true}), "10.0.0.3 to 10.0.0.2:80");
}

TEST(PeerName, OfWhoConnected)
{
    const TcpPeer peer{.remote = "10.0.0.3", .port = 80, .side = VT_TCP_IN};
    EXPECT_EQ(peer_name(peer, {}), "10.0.0.3 to :80");
    const TcpPeer port{.port = 80, .side = VT_TCP_IN};
    EXPECT_EQ(peer_name(port, {.remote = false}), ":80");
    const TcpPeer all{.remote = "::1", .local = "::1", .port = 80, .side = VT_TCP_IN};
    EXPECT_EQ(peer_name(all, {.local = true}), "::1 to [::1]:80");
}

TEST(PeerName, OfNoneInParticular)
{
    EXPECT_EQ(peer_name({}, {.remote = false, .port = false}), "any");
    EXPECT_EQ(peer_name({.side = VT_TCP_IN, .others = true}, {}), "other");
}

// Numbers that no kernel has must not lead astray: snapshots come from files.
TEST(TcpNames, OfAnyNumber)
{
    EXPECT_EQ(retransmit_name(VT_TCP_SYN_ACK), "SYN-ACK");
    EXPECT_EQ(retransmit_name(UINT32_MAX), "other");
    EXPECT_EQ(failure_name(VT_TCP_TIMED_OUT), "timed_out");
    EXPECT_EQ(failure_name(UINT32_MAX), "failed_otherwise");
    EXPECT_EQ(side_name(200), "unknown");
}

} // namespace
} // namespace vtrace
