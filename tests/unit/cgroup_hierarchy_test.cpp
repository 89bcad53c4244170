// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_hierarchy.h"

#include "base/files.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vtrace {
namespace {

using test::fixture;
using test::inode_of;
using test::TempDir;
using testing::HasSubstr;

Result<CgroupHierarchy> recorded(const std::string& host)
{
    return hierarchy_of(kCpuController, fixture("proc/" + host + ".mountinfo"),
                        fixture("proc/" + host + ".cgroups"));
}

TEST(CpuHierarchy, HybridWithOneMountPerController)
{
    const auto found = recorded("hybrid");
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->v1);
    EXPECT_EQ(found->mount_point, "/sys/fs/cgroup/cpu");
    EXPECT_EQ(found->kernel_id, 1);
    EXPECT_EQ(found->cgroups, 13u);
    EXPECT_EQ(found->label(), "cpu (v1)");
}

TEST(CpuHierarchy, V1WithCpuAndCpuacctTogether)
{
    const auto found = recorded("v1_systemd");
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->v1);
    EXPECT_EQ(found->mount_point, "/sys/fs/cgroup/cpu,cpuacct");
    EXPECT_EQ(found->kernel_id, 3);
    EXPECT_EQ(found->cgroups, 96u);
}

TEST(CpuHierarchy, HybridOfSystemdListsV2First)
{
    const auto found = recorded("hybrid_systemd");
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->v1);
    EXPECT_EQ(found->mount_point, "/sys/fs/cgroup/cpu,cpuacct");
    EXPECT_EQ(found->kernel_id, 4);
}

TEST(CpuHierarchy, PureV2)
{
    const auto found = recorded("v2");
    ASSERT_TRUE(found);
    EXPECT_FALSE(found->v1);
    EXPECT_EQ(found->mount_point, "/sys/fs/cgroup");
    EXPECT_EQ(found->kernel_id, 0);
    EXPECT_EQ(found->cgroups, 61u);
    EXPECT_EQ(found->label(), "v2");
}

// v1 controllers, but not cpu: then cpu is v2's.
TEST(CpuHierarchy, V2WhereV1LacksCpu)
{
    const auto found = hierarchy_of(kCpuController,
                                    "1 0 0:1 / /a rw - cgroup cgroup rw,cpuset\n"
                                    "2 0 0:2 / /b rw - cgroup cgroup rw,cpuacct\n"
                                    "3 0 0:3 / /c rw - cgroup cgroup rw,name=cpu\n"
                                    "4 0 0:4 / /d rw - cgroup2 cgroup2 rw\n",
                                    "cpuset\t3\t1\t1\ncpu\t0\t7\t1\n");
    ASSERT_TRUE(found);
    EXPECT_FALSE(found->v1);
    EXPECT_EQ(found->mount_point, "/d");
    EXPECT_EQ(found->kernel_id, 0);
}

TEST(SocketHierarchy, IsV2EvenWhereV1HasControllers)
{
    const auto found = hierarchy_of(kOnlyV2,
                                    "1 0 0:1 / /a rw - cgroup cgroup rw,cpu,\n"
                                    "2 0 0:2 / /b rw - cgroup2 cgroup2 rw\n",
                                    "cpu\t3\t1\t1\n");
    ASSERT_TRUE(found);
    EXPECT_FALSE(found->v1);
    EXPECT_EQ(found->mount_point, "/b");
    const auto none = hierarchy_of(kOnlyV2, "1 0 0:1 / /a rw - cgroup cgroup rw,cpu\n", "");
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().exit, ExitCode::kNotPossible);
    EXPECT_THAT(none.error().message(), HasSubstr("no cgroup v2 is mounted"));
}

TEST(CpuHierarchy, EveryPlaceOfCpuInTheOptions)
{
    for (const char* options :
         {"cpu", "rw,cpu", "cpu,cpuacct", "rw,cpuacct,cpu", "rw,cpuset,cpu,cpuacct"}) {
        const auto found =
            hierarchy_of(kCpuController, std::string("1 0 0:1 / /x rw - cgroup cgroup ") + options,
                         "cpu\t5\t2\t1\n");
        ASSERT_TRUE(found) << options;
        EXPECT_TRUE(found->v1) << options;
        EXPECT_EQ(found->kernel_id, 5);
    }
}

TEST(CpuHierarchy, NoneMounted)
{
    const auto found =
        hierarchy_of(kCpuController, fixture("proc/none.mountinfo"), fixture("proc/v2.cgroups"));
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().exit, ExitCode::kNotPossible);
    EXPECT_THAT(found.error().message(), HasSubstr("no cgroup hierarchy is mounted"));
    EXPECT_FALSE(hierarchy_of(kCpuController, "", "").has_value());
    EXPECT_FALSE(hierarchy_of(kCpuController, "garbage\n- - - -\n", "garbage").has_value());
}

TEST(CpuHierarchy, ContainersSeeTheirPart)
{
    const auto v1 = hierarchy_of(kCpuController, fixture("proc/container_v1.mountinfo"),
                                 fixture("proc/hybrid_systemd.cgroups"));
    ASSERT_TRUE(v1);
    EXPECT_TRUE(v1->v1);
    EXPECT_EQ(v1->mount_point, "/sys/fs/cgroup/cpu,cpuacct");
    const auto v2 = hierarchy_of(kCpuController, fixture("proc/container_v2.mountinfo"),
                                 fixture("proc/v2.cgroups"));
    ASSERT_TRUE(v2);
    EXPECT_FALSE(v2->v1);
    EXPECT_EQ(v2->mount_point, "/sys/fs/cgroup");
}

// A part of the hierarchy that is mounted elsewhere is not where all of it is.
TEST(CpuHierarchy, PrefersTheWholeHierarchyToAPart)
{
    for (const char* type : {"cgroup", "cgroup2"}) {
        const std::string fs =
            std::string(type) + " cgroup rw" + (type == std::string("cgroup") ? ",cpu" : "");
        const auto found = hierarchy_of(kCpuController,
                                        "50 0 0:26 /docker/x /srv/part rw - " + fs + "\n" +
                                            "51 0 0:26 / /sys/fs/cgroup rw - " + fs + "\n",
                                        "cpu\t4\t71\t1\n");
        ASSERT_TRUE(found);
        EXPECT_EQ(found->mount_point, "/sys/fs/cgroup") << type;
    }
}

TEST(CpuHierarchy, MountPointWithSpaces)
{
    const auto found = hierarchy_of(kCpuController,
                                    "1 0 0:1 / /my\\040cgroups/v\\1342 rw - cgroup2 none rw\n", "");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->mount_point, "/my cgroups/v\\2");
}

TEST(CpuHierarchy, SourceMayBeEmpty)
{
    const auto found = hierarchy_of(kCpuController, fixture("proc/empty_source.mountinfo"), "");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->mount_point, "/mnt/no-source");
}

TEST(CpuHierarchy, V2NeedsNothingOfProcCgroups)
{
    for (const char* cgroups :
         {"", "#subsys_name\n", "cpu", "cpu\t", "cpu\tx\ty\tz\n", "cpu\t0\t1\t1"}) {
        const auto found = hierarchy_of(kCpuController, fixture("proc/v2.mountinfo"), cgroups);
        ASSERT_TRUE(found) << cgroups;
        EXPECT_EQ(found->kernel_id, 0) << cgroups;
    }
}

// Without its number the v1 hierarchy cannot be told from v2's (0): an error, not other figures.
TEST(CpuHierarchy, V1NeedsItsNumber)
{
    for (const char* cgroups : {"", "cpuset\t2\t9\t1\n", "cpu\n", "cpu\t0\t1\t1\n",
                                "cpu\tx\t1\t1\n", "cpu\t99999999999\t1\t1\n"})
        EXPECT_FALSE(
            hierarchy_of(kCpuController, fixture("proc/v1_systemd.mountinfo"), cgroups).has_value())
            << cgroups;
}

TEST(CpuHierarchy, ThisHostHasOneThatExists)
{
    const auto mounts = read_file("/proc/self/mountinfo");
    ASSERT_TRUE(mounts);
    if (mounts->find(" - cgroup") == std::string::npos)
        GTEST_SKIP() << "no cgroup hierarchy is mounted here";
    const auto found = hierarchy_of(kCpuController);
    ASSERT_TRUE(found) << found.error().what;
    EXPECT_EQ(inode_of(found->mount_point + "/."), inode_of(found->mount_point));
    EXPECT_GE(found->cgroups, 1u);
    EXPECT_EQ(found->v1, found->kernel_id != 0);
}

class FindCgroup : public testing::Test {
protected:
    FindCgroup()
    {
        hierarchy.v1 = true;
        hierarchy.mount_point = dir.path() + "/cpu";
        root = dir.mkdir("cpu");
        docker = dir.mkdir("cpu/docker");
        nested = dir.mkdir("cpu/docker/4f5e");
        spaced = dir.mkdir("cpu/a b\n\xff");
        outside = dir.mkdir("memory/only");
        dir.write("cpu/tasks", "1\n");
    }

    void expect_found(const std::string& path, uint64_t id) const
    {
        const auto found = find_cgroup(hierarchy, path);
        ASSERT_TRUE(found) << path << ": " << found.error().message();
        EXPECT_EQ(*found, id) << path;
    }

    void expect_usage(const std::string& path, const std::string& why) const
    {
        const auto found = find_cgroup(hierarchy, path);
        ASSERT_FALSE(found) << path;
        EXPECT_EQ(found.error().exit, ExitCode::kUsage) << path;
        EXPECT_THAT(found.error().message(), HasSubstr(why)) << path;
        EXPECT_EQ(found.error().message().find('\n'), std::string::npos) << "one line";
    }

    TempDir dir;
    CgroupHierarchy hierarchy;
    uint64_t root = 0;
    uint64_t docker = 0;
    uint64_t nested = 0;
    uint64_t spaced = 0;
    uint64_t outside = 0;
};

TEST_F(FindCgroup, PathsInTheHierarchy)
{
    expect_found("/", root);
    expect_found("/docker", docker);
    expect_found("/docker/", docker);
    expect_found("//docker//4f5e", nested);
    expect_found("/docker/./4f5e", nested);
    expect_found("/a b\n\xff", spaced);
}

TEST_F(FindCgroup, PathsBelowTheMountPoint)
{
    expect_found(hierarchy.mount_point, root);
    expect_found(hierarchy.mount_point + "/", root);
    expect_found(hierarchy.mount_point + "/docker/4f5e", nested);
}

TEST_F(FindCgroup, SaysWhyNot)
{
    expect_usage("/nowhere", "no such cgroup");
    expect_usage("/docker/nowhere", "no such cgroup");
    expect_usage("/tasks", "is a file");
    expect_usage("/tasks/x", "--cgroup=/tasks/x");
    expect_usage(dir.path() + "/memory/only", "outside the cgroup hierarchy");
    expect_usage(hierarchy.mount_point + "x", "no such cgroup");
    expect_usage("/\x1b[31m\n", "\\x1b[31m\\x0a");
    expect_usage(std::string("/docker\0/x", 10), "not a path");
    expect_usage("/" + std::string(5'000, 'x'), "--cgroup=");
}

TEST_F(FindCgroup, DoesNotLeaveTheHierarchy)
{
    for (const char* path :
         {"..", "/..", "/../memory/only", "/docker/../../memory/only", "/docker/.."})
        expect_usage(path, "leaves the cgroup hierarchy");
    expect_usage(hierarchy.mount_point + "/../memory/only", "leaves the cgroup hierarchy");
}

TEST_F(FindCgroup, NamesWithDotsAreNames)
{
    const uint64_t dotted = dir.mkdir("cpu/..x");
    expect_found("/..x", dotted);
}

} // namespace
} // namespace vtrace
