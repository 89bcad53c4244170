// SPDX-License-Identifier: GPL-2.0-only
#include "entity/net_namespaces.h"

#include "support.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

namespace vtrace {
namespace {

using test::TempDir;

TEST(CommonCgroup, TheNearestOfBoth)
{
    EXPECT_EQ(common_cgroup("/pod/a", "/pod/a"), "/pod/a");
    EXPECT_EQ(common_cgroup("/pod/a", "/pod/b"), "/pod");
    EXPECT_EQ(common_cgroup("/pod/a", "/pod"), "/pod");
    EXPECT_EQ(common_cgroup("/pod/ab", "/pod/a"), "/pod") << "names are whole";
    EXPECT_EQ(common_cgroup("/pod", "/other"), "/");
    EXPECT_EQ(common_cgroup("/", "/pod"), "/");
}

// A tree like /proc; files stand in for namespaces, told apart by their inode numbers as those are.
class NetNamespacesTest : public testing::Test {
protected:
    // The inode number of the file that stands in for it.
    uint32_t make_namespace(const std::string& name)
    {
        dir.write("ns/" + name, "");
        return static_cast<uint32_t>(test::inode_of(dir.path() + "/ns/" + name));
    }
    void make_directory(const std::string& name) const
    {
        std::filesystem::create_directories(dir.path() + "/" + name);
    }
    void add_process(int pid, const std::string& space, const std::string& cgroup)
    {
        const std::string process = "proc/" + std::to_string(pid);
        make_directory(process + "/ns");
        std::filesystem::create_symlink(dir.path() + "/ns/" + space,
                                        dir.path() + "/" + process + "/ns/net");
        dir.write(process + "/cgroup", "4:memory:/not/this\n0::" + cgroup + "\n");
    }
    void remove_process(int pid)
    {
        std::filesystem::remove_all(dir.path() + "/proc/" + std::to_string(pid));
    }
    [[nodiscard]] NetNamespaces namespaces() const
    {
        return NetNamespaces({.mount_point = dir.path() + "/cgroup"},
                             {.proc = dir.path() + "/proc",
                              .named = dir.path() + "/netns",
                              .sandboxes = dir.path() + "/docker"});
    }
    // One and then the other has the same number.
    NetNamespaceFact reused(const std::string& before, const std::string& now)
    {
        const uint32_t inum = make_namespace("reused");
        add_process(1, "host", "/");
        add_process(60, "reused", before);
        NetNamespaces all = namespaces();
        all.look();
        remove_process(60);
        add_process(61, "reused", now);
        all.look();
        return fact_of(all, inum);
    }
    // A name is kept in a directory as a file of its own.
    void give_name(const std::string& directory, const std::string& name, const std::string& space)
    {
        make_directory(directory);
        std::filesystem::create_hard_link(dir.path() + "/ns/" + space,
                                          dir.path() + "/" + directory + "/" + name);
    }
    void take_name(const std::string& directory, const std::string& name) const
    {
        std::filesystem::remove(dir.path() + "/" + directory + "/" + name);
    }
    static NetNamespaceFact fact_of(const NetNamespaces& namespaces, uint32_t inum)
    {
        for (const NetNamespaceFact& fact : namespaces.facts()) {
            if (fact.inum == inum)
                return fact;
        }
        return {};
    }

    TempDir dir;
    uint64_t root = dir.mkdir("cgroup");
    uint64_t pod = dir.mkdir("cgroup/pod");
    uint64_t one = dir.mkdir("cgroup/pod/one");
    uint64_t other = dir.mkdir("cgroup/pod/other");
    uint64_t job = dir.mkdir("cgroup/job");
    uint64_t spaces = dir.mkdir("ns");
    uint64_t processes = dir.mkdir("proc");
    uint64_t names = dir.mkdir("netns");
    uint32_t host = make_namespace("host");
};

TEST_F(NetNamespacesTest, OfTheHostAndOfACgroup)
{
    const uint32_t own = make_namespace("own");
    add_process(1, "host", "/");
    add_process(50, "host", "/pod/other");
    add_process(60, "own", "/pod/one");
    NetNamespaces all = namespaces();
    all.look();
    EXPECT_EQ(all.facts().size(), 2U);
    EXPECT_TRUE(fact_of(all, host) ==
                (NetNamespaceFact{.inum = host, .host = true, .cgroup_id = root}));
    EXPECT_TRUE(fact_of(all, own) == (NetNamespaceFact{.inum = own, .cgroup_id = one}));
}

TEST_F(NetNamespacesTest, OfSeveralCgroupsTheNearestAbove)
{
    const uint32_t shared = make_namespace("shared");
    add_process(1, "host", "/");
    add_process(60, "shared", "/pod/one");
    add_process(61, "shared", "/pod/other");
    NetNamespaces all = namespaces();
    all.look();
    EXPECT_EQ(fact_of(all, shared).cgroup_id, pod);
}

TEST_F(NetNamespacesTest, OneThatOnlyHasAName)
{
    add_process(1, "host", "/");
    dir.write("netns/blue", "");
    const auto blue = static_cast<uint32_t>(test::inode_of(dir.path() + "/netns/blue"));
    NetNamespaces all = namespaces();
    all.look();
    EXPECT_TRUE(fact_of(all, blue) == (NetNamespaceFact{.inum = blue, .name = "blue"}));
}

TEST_F(NetNamespacesTest, OneThatHasGoneIsKeptForOneLook)
{
    const uint32_t own = make_namespace("own");
    add_process(1, "host", "/");
    add_process(60, "own", "/pod/one");
    NetNamespaces all = namespaces();
    all.look();
    remove_process(60);
    all.look();
    EXPECT_EQ(fact_of(all, own).cgroup_id, one);
    all.look();
    EXPECT_EQ(fact_of(all, own).inum, 0U);
}

TEST_F(NetNamespacesTest, OfTwoWithOneNumberTheNearestAboveBoth)
{
    EXPECT_EQ(reused("/pod/one", "/pod/other").cgroup_id, pod);
}

TEST_F(NetNamespacesTest, OfTwoWithOneNumberAndNothingInCommonNobodyIsKnown)
{
    EXPECT_EQ(reused("/pod/one", "/job").cgroup_id, 0U);
}

TEST_F(NetNamespacesTest, OfTwoWithOneNumberInTheSameCgroupThatOne)
{
    EXPECT_EQ(reused("/pod/one", "/pod/one").cgroup_id, one);
}

TEST_F(NetNamespacesTest, AfterAnotherLookTheNewOwnerIsKnown)
{
    const uint32_t own = make_namespace("own");
    add_process(60, "own", "/pod/one");
    NetNamespaces all = namespaces();
    all.look();
    remove_process(60);
    add_process(61, "own", "/job");
    all.look();
    all.look();
    EXPECT_EQ(fact_of(all, own).cgroup_id, job);
}

TEST_F(NetNamespacesTest, ANameThatChangesIsNone)
{
    const uint32_t own = make_namespace("own");
    give_name("netns", "blue", "own");
    NetNamespaces all = namespaces();
    all.look();
    EXPECT_EQ(fact_of(all, own).name, "blue");
    take_name("netns", "blue");
    give_name("netns", "green", "own");
    all.look();
    EXPECT_TRUE(fact_of(all, own) == (NetNamespaceFact{.inum = own}));
    all.look();
    EXPECT_EQ(fact_of(all, own).name, "green");
}

TEST_F(NetNamespacesTest, ANameAfterProcessesOrBeforeThem)
{
    const uint32_t own = make_namespace("own");
    add_process(60, "own", "/pod/one");
    NetNamespaces all = namespaces();
    all.look();
    remove_process(60);
    give_name("netns", "blue", "own");
    all.look();
    EXPECT_TRUE(fact_of(all, own) == (NetNamespaceFact{.inum = own}))
        << "whose it was is not known";
    all.look();
    EXPECT_EQ(fact_of(all, own).name, "blue");
    add_process(61, "own", "/job");
    all.look();
    EXPECT_TRUE(fact_of(all, own) ==
                (NetNamespaceFact{.inum = own, .cgroup_id = job, .name = "blue"}))
        << "by its name it is the same one";
}

TEST_F(NetNamespacesTest, DockersNamesAreForThoseWithoutAnother)
{
    const uint32_t own = make_namespace("own");
    const uint32_t named = make_namespace("named");
    const uint32_t paused = make_namespace("paused");
    add_process(60, "own", "/pod/one");
    for (const char* space : {"own", "named", "paused"})
        give_name("docker", std::string("c0ffee-") + space, space);
    give_name("netns", "web", "named");
    NetNamespaces all = namespaces();
    all.look();
    EXPECT_TRUE(fact_of(all, own) == (NetNamespaceFact{.inum = own, .cgroup_id = one}));
    EXPECT_EQ(fact_of(all, named).name, "web");
    EXPECT_EQ(fact_of(all, paused).name, "c0ffee-paused");
}

TEST_F(NetNamespacesTest, WhatCannotBeReadIsNotThere)
{
    add_process(1, "host", "/");
    make_directory("proc/70"); // it has gone meanwhile
    add_process(71, "missing", "/pod/one");
    const uint32_t damaged = make_namespace("damaged");
    add_process(72, "damaged", "/gone");
    make_directory("proc/self");
    NetNamespaces all = namespaces();
    all.look();
    EXPECT_EQ(all.facts().size(), 2U);
    EXPECT_EQ(fact_of(all, damaged).cgroup_id, 0U) << "its cgroup has gone";
    NetNamespaces none({}, {.proc = "/no/such", .named = "/no/such", .sandboxes = "/no/such"});
    none.look();
    EXPECT_TRUE(none.facts().empty());
}

} // namespace
} // namespace vtrace
