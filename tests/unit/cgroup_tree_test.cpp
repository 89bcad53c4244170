// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_tree.h"

#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <string>

namespace vtrace {
namespace {

using test::inode_of;
using test::TempDir;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

std::map<uint64_t, CgroupFact> by_id(const CgroupTree& tree)
{
    std::map<uint64_t, CgroupFact> facts;
    for (const CgroupFact& fact : tree.facts())
        EXPECT_TRUE(facts.emplace(fact.id, fact).second) << "twice: " << fact.id;
    return facts;
}

CgroupFact fact(uint64_t id, uint64_t parent, const std::string& name, bool removed = false)
{
    return {.id = id, .parent = parent, .name = name, .removed = removed};
}

TEST(CgroupTree, ScansDirectoriesWithTheirIdsAndNames)
{
    const TempDir dir;
    const uint64_t root = inode_of(dir.path());
    const uint64_t a = dir.mkdir("a");
    const uint64_t b = dir.mkdir("a/b");
    const uint64_t c = dir.mkdir("a/b/c");
    const uint64_t twin = dir.mkdir("twin/a");
    const uint64_t twin_parent = inode_of(dir.path() + "/twin");
    const uint64_t hostile = dir.mkdir("x \n\x1b\xff");
    dir.write("cgroup.procs", "1\n");
    dir.write("a/cpu.stat", "");

    CgroupTree tree;
    ASSERT_TRUE(tree.scan(dir.path()));
    EXPECT_THAT(tree.facts(),
                UnorderedElementsAre(fact(root, 0, ""), fact(a, root, "a"), fact(b, a, "b"),
                                     fact(c, b, "c"), fact(twin_parent, root, "twin"),
                                     fact(twin, twin_parent, "a"),
                                     fact(hostile, root, "x \n\x1b\xff")));
    EXPECT_THAT(tree.take_removed(), IsEmpty());
}

TEST(CgroupTree, ScansDeepAndWide)
{
    const TempDir dir;
    std::string path;
    for (int depth = 0; depth < 100; depth++) {
        path += (path.empty() ? "d" : "/d") + std::to_string(depth);
        (void)dir.mkdir(path);
    }
    for (int i = 0; i < 200; i++)
        (void)dir.mkdir("wide/" + std::to_string(i));
    CgroupTree tree;
    ASSERT_TRUE(tree.scan(dir.path()));
    EXPECT_THAT(by_id(tree), SizeIs(1 + 100 + 1 + 200));
}

TEST(CgroupTree, FollowsNoSymbolicLinks)
{
    const TempDir dir;
    const uint64_t a = dir.mkdir("a");
    ASSERT_EQ(::symlink("..", (dir.path() + "/a/loop").c_str()), 0);
    CgroupTree tree;
    ASSERT_TRUE(tree.scan(dir.path()));
    EXPECT_THAT(tree.facts(), UnorderedElementsAre(fact(inode_of(dir.path()), 0, ""),
                                                   fact(a, inode_of(dir.path()), "a")));
}

TEST(CgroupTree, ARescanFindsWhatIsNewAndForgetsWhatIsGone)
{
    const TempDir dir;
    const uint64_t root = inode_of(dir.path());
    const uint64_t stays = dir.mkdir("stays");
    const uint64_t goes = dir.mkdir("goes");
    const uint64_t below = dir.mkdir("goes/below");
    CgroupTree tree;
    EXPECT_THAT(*tree.rescan(dir.path()), IsEmpty());
    EXPECT_THAT(tree.take_made(), UnorderedElementsAre(root, stays, goes, below));

    ASSERT_EQ(::rmdir((dir.path() + "/goes/below").c_str()), 0);
    ASSERT_EQ(::rmdir((dir.path() + "/goes").c_str()), 0);
    const uint64_t comes = dir.mkdir("stays/comes"); // may get the number of one that went
    const auto gone = tree.rescan(dir.path());
    ASSERT_TRUE(gone);
    EXPECT_THAT(tree.facts(), UnorderedElementsAre(fact(root, 0, ""), fact(stays, root, "stays"),
                                                   fact(comes, stays, "comes")));
    EXPECT_THAT(tree.take_made(), ElementsAre(comes));
    EXPECT_THAT(*gone, testing::Not(testing::Contains(comes)));
    EXPECT_THAT(*gone, testing::IsSubsetOf({goes, below}));

    EXPECT_THAT(*tree.rescan(dir.path()), IsEmpty());
    EXPECT_THAT(tree.take_made(), IsEmpty());
}

TEST(CgroupTree, ARescanThatFailsForgetsNothing)
{
    CgroupTree tree;
    tree.made(1, 0, "");
    EXPECT_FALSE(tree.rescan("/nonexistent/mount/point"));
    EXPECT_THAT(tree.facts(), SizeIs(1));
}

TEST(CgroupTree, SaysThatTheMountPointIsGone)
{
    CgroupTree tree;
    const auto scanned = tree.scan("/nonexistent/mount/point");
    ASSERT_FALSE(scanned);
    EXPECT_EQ(scanned.error().code, ENOENT);
}

TEST(CgroupTree, MakesRenamesAndRemoves)
{
    CgroupTree tree;
    tree.made(1, 0, "");
    tree.made(2, 1, "old");
    tree.made(3, 2, "child");
    EXPECT_EQ(by_id(tree).at(2), fact(2, 1, "old"));

    tree.made(2, 1, "new");
    EXPECT_EQ(by_id(tree).at(2), fact(2, 1, "new"));
    EXPECT_EQ(by_id(tree).at(3), fact(3, 2, "child"));

    tree.removed(3, 2, "child");
    EXPECT_EQ(by_id(tree).at(3), fact(3, 2, "child", true));
    EXPECT_THAT(tree.facts(), SizeIs(3)) << "it stays until it is forgotten";
}

TEST(CgroupTree, TellsOfEachRemovalOnce)
{
    CgroupTree tree;
    tree.made(2, 1, "a");
    tree.made(3, 1, "b");
    tree.removed(3, 1, "b");
    tree.removed(2, 1, "a");
    EXPECT_THAT(tree.take_removed(), ElementsAre(3, 2));
    EXPECT_THAT(tree.take_removed(), IsEmpty());
    EXPECT_THAT(tree.facts(), SizeIs(2));
}

TEST(CgroupTree, NamesWhatItOnlyKnowsFromItsRemoval)
{
    CgroupTree tree;
    tree.removed(9, 1, "short-lived");
    EXPECT_THAT(tree.facts(), ElementsAre(fact(9, 1, "short-lived", true)));
    EXPECT_THAT(tree.take_removed(), ElementsAre(9));
}

TEST(CgroupTree, ForgetsWhatItIsTold)
{
    CgroupTree tree;
    tree.made(1, 0, "");
    tree.made(2, 1, "a");
    tree.removed(2, 1, "a");
    tree.forget(2);
    tree.forget(77); // never known
    EXPECT_THAT(tree.facts(), ElementsAre(fact(1, 0, "")));
}

// The events begin before the scan: what it finds may have been removed by then.
TEST(CgroupTree, AScanDoesNotReviveWhatWasRemoved)
{
    const TempDir dir;
    const uint64_t a = dir.mkdir("a");
    CgroupTree tree;
    tree.removed(a, inode_of(dir.path()), "a");
    ASSERT_TRUE(tree.scan(dir.path()));
    EXPECT_TRUE(by_id(tree).at(a).removed);
    EXPECT_THAT(tree.take_removed(), ElementsAre(a));
}

} // namespace
} // namespace vtrace
