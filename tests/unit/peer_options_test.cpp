// SPDX-License-Identifier: GPL-2.0-only
#include "tools/peer_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vtrace {
namespace {

using testing::HasSubstr;

TEST(PeerOptions, WhatIsUsual)
{
    const auto key = parse_peer_key("", "");
    ASSERT_TRUE(key);
    EXPECT_EQ(*key, PeerKey{});
    EXPECT_TRUE(key->remote);
    EXPECT_TRUE(key->port);
    EXPECT_FALSE(key->local);
}

TEST(PeerOptions, WhatTellsThemApart)
{
    EXPECT_EQ(*parse_peer_key("local", ""),
              (PeerKey{.remote = false, .local = true, .port = false}));
    EXPECT_EQ(*parse_peer_key("port,remote,local", ""),
              (PeerKey{.remote = true, .local = true, .port = true}));
    EXPECT_EQ(*parse_peer_key("none", ""),
              (PeerKey{.remote = false, .local = false, .port = false}));
}

TEST(PeerOptions, Subnets)
{
    EXPECT_EQ(*parse_peer_key("", "24"), (PeerKey{.bits4 = 24}));
    EXPECT_EQ(*parse_peer_key("remote", "8,64"), (PeerKey{.port = false, .bits4 = 8, .bits6 = 64}));
    EXPECT_EQ(*parse_peer_key("", "32,128"), PeerKey{});
}

TEST(PeerOptions, SaysWhyNot)
{
    for (const char* by :
         {"peer", "remote,", ",", "none,remote", "Remote", "remote port", "\x1b"}) {
        const auto key = parse_peer_key(by, "");
        ASSERT_FALSE(key) << by;
        EXPECT_EQ(key.error().exit, ExitCode::kUsage);
        EXPECT_THAT(key.error().message(), HasSubstr("--by "));
        EXPECT_THAT(key.error().message(), Not(HasSubstr("\x1b")));
    }
    for (const char* subnet :
         {"0", "33", "24,0", "24,129", "24,64,1", "-1", "24,", ",64", "x", "24 "}) {
        const auto key = parse_peer_key("", subnet);
        ASSERT_FALSE(key) << subnet;
        EXPECT_THAT(key.error().message(), HasSubstr("--subnet 24,64"));
    }
}

} // namespace
} // namespace vtrace
