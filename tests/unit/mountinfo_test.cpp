// SPDX-License-Identifier: GPL-2.0-only
#include "entity/mountinfo.h"

#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vtrace {
namespace {

using test::fixture;
using testing::IsEmpty;
using testing::SizeIs;

Mount only(const std::string& line)
{
    const auto mounts = parse_mountinfo(line);
    EXPECT_THAT(mounts, SizeIs(1)) << line;
    return mounts.empty() ? Mount{} : mounts.front();
}

TEST(Mountinfo, ReadsEveryLineOfRecordedTexts)
{
    EXPECT_THAT(parse_mountinfo(fixture("proc/hybrid.mountinfo")), SizeIs(14));
    EXPECT_THAT(parse_mountinfo(fixture("proc/v1_systemd.mountinfo")), SizeIs(10));
    EXPECT_THAT(parse_mountinfo(fixture("proc/v2.mountinfo")), SizeIs(6));
    EXPECT_THAT(parse_mountinfo(fixture("proc/container_v1.mountinfo")), SizeIs(7));
}

TEST(Mountinfo, TakesTheRightFields)
{
    const auto mounts = parse_mountinfo(fixture("proc/container_v1.mountinfo"));
    ASSERT_THAT(mounts, SizeIs(7));
    EXPECT_EQ(mounts[6].root, "/docker/0c5a");
    EXPECT_EQ(mounts[6].mount_point, "/sys/fs/cgroup/cpu,cpuacct");
    EXPECT_EQ(mounts[6].type, "cgroup");
    EXPECT_EQ(mounts[6].super_options, "rw,cpu,cpuacct");
}

TEST(Mountinfo, SkipsAnyNumberOfOptionalFields)
{
    for (const char* optional :
         {"", "shared:1 ", "shared:1 master:2 ", "shared:1 master:2 unbindable ",
          "master:2 propagate_from:3 unbindable future:4 "}) {
        const Mount mount = only(std::string("36 35 98:0 /root /mnt rw,noatime ") + optional +
                                 "- ext3 /dev/root rw,errors=continue\n");
        EXPECT_EQ(mount.root, "/root");
        EXPECT_EQ(mount.mount_point, "/mnt");
        EXPECT_EQ(mount.type, "ext3");
        EXPECT_EQ(mount.super_options, "rw,errors=continue");
    }
}

TEST(Mountinfo, UndoesOctalEscapes)
{
    const auto mounts = parse_mountinfo(fixture("proc/escapes.mountinfo"));
    ASSERT_THAT(mounts, SizeIs(7));
    EXPECT_EQ(mounts[1].root, "/with space");
    EXPECT_EQ(mounts[1].mount_point, "/mnt/a space");
    EXPECT_EQ(mounts[2].mount_point, "/mnt/tab\tnewline\nbackslash\\end");
    EXPECT_EQ(mounts[3].mount_point, "/mnt/hash#");
    EXPECT_EQ(mounts[4].mount_point, "/mnt/not\\08octal\\9");
    EXPECT_EQ(mounts[5].mount_point, "/mnt/at-the-end\\");
    EXPECT_EQ(mounts[6].mount_point, "/mnt/double\\040") << "an escape is undone once";
}

TEST(Mountinfo, KeepsBytesThatAreNotUtf8)
{
    EXPECT_EQ(only("1 2 0:1 / /\xff\xc3\\377 rw - tmpfs t rw").mount_point, "/\xff\xc3\xff");
}

// `mount -t cgroup2 "" /mnt` leaves two spaces where the source was.
TEST(Mountinfo, TakesAnEmptySource)
{
    const Mount mount = only(fixture("proc/empty_source.mountinfo"));
    EXPECT_EQ(mount.mount_point, "/mnt/no-source");
    EXPECT_EQ(mount.type, "cgroup2");
    EXPECT_EQ(mount.super_options, "rw,nsdelegate");
}

TEST(Mountinfo, TakesALastLineWithoutNewline)
{
    EXPECT_EQ(only("22 27 0:21 / /proc rw,relatime - proc proc rw").type, "proc");
}

TEST(Mountinfo, LeavesOutWhatIsNotOfTheForm)
{
    for (const char* line : {"", "\n\n\n", "-", " - ", "- - - -", "garbage", "36 35 98:0 / /mnt rw",
                             "36 35 98:0 / /mnt rw - ext3", "36 35 98:0 / /mnt rw - ext3 /dev/root",
                             "36 35 98:0 / - ext3 /dev/root rw", "\\\\\\ \\0 \\04 \\040 - - - -"})
        EXPECT_THAT(parse_mountinfo(line), IsEmpty()) << line;
}

TEST(Mountinfo, ReadsGoodLinesBetweenBadOnes)
{
    const auto mounts = parse_mountinfo("nonsense\n22 27 0:21 / /proc rw - proc proc rw\n- -\n"
                                        "23 27 0:22 / /sys rw shared:7 - sysfs sysfs rw\n36 35");
    ASSERT_THAT(mounts, SizeIs(2));
    EXPECT_EQ(mounts[0].type, "proc");
    EXPECT_EQ(mounts[1].type, "sysfs");
}

} // namespace
} // namespace vtrace
