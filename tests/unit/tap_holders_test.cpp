// SPDX-License-Identifier: GPL-2.0-only
#include "entity/tap_holders.h"

#include "support.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace vtrace {
namespace {

TEST(TapHolders, TheNameInFdinfo)
{
    EXPECT_EQ(tap_of("pos:\t0\nflags:\t0104002\nmnt_id:\t25\nino:\t90\niff:\ttap0\n"), "tap0");
    EXPECT_EQ(tap_of("iff: a b\n"), "a b");
    EXPECT_EQ(tap_of("iff:"), "");
    EXPECT_EQ(tap_of("pos:\t0\n"), "");
    EXPECT_EQ(tap_of(""), "");
}

// A tree like /proc; a file stands in for the namespace.
class TapHoldersTest : public testing::Test {
protected:
    TapHoldersTest()
    {
        dir.write("ns", "");
        netns = static_cast<uint32_t>(test::inode_of(dir.path() + "/ns"));
    }
    void add(const std::string& pid, const std::string& fd, const std::string& opened,
             const std::string& fdinfo) const
    {
        const std::string process = proc() + "/" + pid;
        for (const char* name : {"/ns", "/fd", "/fdinfo"})
            std::filesystem::create_directories(process + name);
        if (!std::filesystem::exists(std::filesystem::symlink_status(process + "/ns/net")))
            std::filesystem::create_symlink(dir.path() + "/ns", process + "/ns/net");
        std::filesystem::create_symlink(opened, process + "/fd/" + fd);
        dir.write("proc/" + pid + "/fdinfo/" + fd, fdinfo);
    }
    [[nodiscard]] std::string proc() const { return dir.path() + "/proc"; }

    test::TempDir dir;
    uint32_t netns = 0;
};

TEST_F(TapHoldersTest, WhoHasWhichOpen)
{
    add("700", "3", "/dev/null", "iff:\ttap1\n");
    add("700", "11", "/dev/net/tun", "pos:\t0\niff:\ttap0\n");
    add("700", "12", "/dev/net/tun", "pos:\t0\n"); // no device made yet
    add("90", "5", "/dev/net/tun", "iff:\ttap7\n");
    const TapHolders holders = tap_holders({netns}, proc());
    ASSERT_EQ(holders.size(), 2U);
    const TapHolder& holder = holders.at({netns, "tap0"});
    EXPECT_EQ(holder.pid, 700U);
    EXPECT_EQ(holders.at({netns, "tap7"}).pid, 90U);
    EXPECT_TRUE(holds_tap(holder, "tap0", proc()));
    EXPECT_FALSE(holds_tap(holder, "tap1", proc()));
    std::filesystem::remove_all(proc() + "/700");
    EXPECT_FALSE(holds_tap(holder, "tap0", proc()));
    EXPECT_FALSE(holds_tap({}, "", proc())) << "nobody holds nothing";
}

TEST_F(TapHoldersTest, OnlyInTheseNamespaces)
{
    add("700", "11", "/dev/net/tun", "iff:\ttap0\n");
    EXPECT_TRUE(tap_holders({netns + 1}, proc()).empty());
    EXPECT_TRUE(tap_holders({}, proc()).empty());
    EXPECT_TRUE(tap_holders({netns}, dir.path() + "/none").empty());
}

TEST_F(TapHoldersTest, OfSeveralNobody)
{
    add("901", "4", "/dev/net/tun", "iff:\ttap0\n");
    add("700", "11", "/dev/net/tun", "iff:\ttap0\n");
    add("1000", "2", "/dev/net/tun", "iff:\ttap0\n");
    EXPECT_EQ(tap_holders({netns}, proc()).at({netns, "tap0"}).pid, 0U);
}

} // namespace
} // namespace vtrace
