// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/process_maps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

namespace vtrace {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ProcessMaps, ReadsFilesDeletedOnesAndPlainMemory)
{
    const auto maps = parse_maps(
        "55a98a60f000-55a98a615000 r-xp 00002000 fe:00 247498                     /usr/bin/a b\n"
        "55a99e322000-55a99e343000 rw-p 00000000 00:00 0                          [heap]\n"
        "7f0000000000-7f0000001000 r-xp 00000000 00:00 0 \n"
        "7f0000001000-7f0000002000 r--p 00001000 00:2a 7       /tmp/gone (deleted)\n");
    EXPECT_THAT(
        maps,
        ElementsAre(Mapping{.start = 0x55a98a60f000,
                            .end = 0x55a98a615000,
                            .executable = true,
                            .offset = 0x2000,
                            .inode = 247498,
                            .path = "/usr/bin/a b"},
                    Mapping{.start = 0x55a99e322000, .end = 0x55a99e343000, .path = "[heap]"},
                    Mapping{.start = 0x7f0000000000, .end = 0x7f0000001000, .executable = true},
                    Mapping{.start = 0x7f0000001000,
                            .end = 0x7f0000002000,
                            .offset = 0x1000,
                            .inode = 7,
                            .path = "/tmp/gone",
                            .deleted = true}));
}

TEST(ProcessMaps, LeavesOutWhatIsNoLine)
{
    for (const std::string text :
         {"", "\n", "x", "1000", "1000-", "1000-2000", "1000-2000 r-xp", "1000-2000 rx 0 0:0 0",
          "1000-2000 r-xp 0", "1000-2000 r-xp 0 00:00", "1000-2000 r-xp 0 00:00 x",
          "fffffffffffffffff-1 r-xp 0 00:00 1 /a"})
        EXPECT_THAT(parse_maps(text), IsEmpty()) << text;
}

TEST(ProcessMaps, FindsTheMappingOfAnAddress)
{
    const auto maps = parse_maps("1000-2000 r-xp 0 00:00 1 /a\n3000-4000 r-xp 0 00:00 2 /b\n");
    const auto inode = [&](uint64_t address) {
        const Mapping* map = find_mapping(maps, address);
        return map != nullptr ? map->inode : 0;
    };
    EXPECT_EQ(inode(0xfff), 0U);
    EXPECT_EQ(inode(0x1000), 1U);
    EXPECT_EQ(inode(0x1fff), 1U);
    EXPECT_EQ(inode(0x2000), 0U);
    EXPECT_EQ(inode(0x3000), 2U);
    EXPECT_EQ(inode(0x4000), 0U);
}

TEST(ProcessMaps, KnowsThisProcess)
{
    static const int here = 0;
    const auto maps = read_maps(static_cast<uint32_t>(::getpid()));
    ASSERT_TRUE(maps);
    EXPECT_NE(find_mapping(*maps, reinterpret_cast<uint64_t>(&here)), nullptr);
    EXPECT_FALSE(read_maps(0xfffffff0));
}

} // namespace
} // namespace vtrace
