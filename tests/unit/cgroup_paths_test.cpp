// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_paths.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace vtrace {
namespace {

CgroupFacts facts_of(std::vector<CgroupFact> cgroups)
{
    return {.hierarchy = "v2", .cgroups = std::move(cgroups)};
}

class CgroupPathsTest : public testing::Test {
protected:
    CgroupFacts facts = facts_of({
        {.id = 30, .parent = 20, .name = "4f5e"}, // children may come before their parents
        {.id = 1, .parent = 0, .name = ""},
        {.id = 20, .parent = 1, .name = "docker"},
        {.id = 21, .parent = 1, .name = "gone", .removed = true},
        {.id = 31, .parent = 21, .name = "below the gone"},
        {.id = 40, .parent = 99, .name = "orphan"},
        {.id = 41, .parent = 40, .name = "child of the orphan"},
        {.id = 22, .parent = 1, .name = "a\nb\x1b\xff"},
    });
    CgroupPaths paths{facts};
};

TEST_F(CgroupPathsTest, Root)
{
    EXPECT_EQ(paths.path(1), "/");
    const Entity root = paths.entity(1);
    EXPECT_EQ(root.kind, "cgroup");
    EXPECT_EQ(root.name, "/");
    EXPECT_EQ(root.cgroup, "/");
    EXPECT_EQ(root.id, 1u);
    EXPECT_FALSE(root.ended);
}

TEST_F(CgroupPathsTest, Nested)
{
    EXPECT_EQ(paths.path(20), "/docker");
    EXPECT_EQ(paths.path(30), "/docker/4f5e");
    EXPECT_EQ(paths.entity(30).name, "/docker/4f5e");
    EXPECT_EQ(paths.entity(30).cgroup, "/docker/4f5e");
}

TEST_F(CgroupPathsTest, NamesAreRawBytes)
{
    EXPECT_EQ(paths.path(22), "/a\nb\x1b\xff");
}

TEST_F(CgroupPathsTest, UnknownIdsAreNamedByTheirNumber)
{
    for (const uint64_t id : {uint64_t{77}, uint64_t{99}, uint64_t{0}, UINT64_MAX}) {
        EXPECT_EQ(paths.path(id), std::nullopt);
        const Entity entity = paths.entity(id);
        EXPECT_EQ(entity.kind, "cgroup");
        EXPECT_EQ(entity.name, "cgroup:" + std::to_string(id));
        EXPECT_EQ(entity.cgroup, "");
        EXPECT_EQ(entity.id, id);
    }
}

TEST_F(CgroupPathsTest, AnUnknownParentMakesThePathUnknown)
{
    EXPECT_EQ(paths.path(40), std::nullopt);
    EXPECT_EQ(paths.path(41), std::nullopt);
    EXPECT_EQ(paths.entity(41).name, "cgroup:41");
}

TEST_F(CgroupPathsTest, RemovedOnesHaveEndedButKeepTheirName)
{
    EXPECT_TRUE(paths.entity(21).ended);
    EXPECT_EQ(paths.entity(21).name, "/gone");
    EXPECT_EQ(paths.entity(31).name, "/gone/below the gone");
    EXPECT_FALSE(paths.entity(31).ended);
}

TEST(CgroupPaths, LoopsEnd)
{
    const CgroupFacts facts = facts_of({
        {.id = 1, .parent = 1, .name = "self"},
        {.id = 2, .parent = 3, .name = "a"},
        {.id = 3, .parent = 4, .name = "b"},
        {.id = 4, .parent = 2, .name = "c"},
        {.id = 5, .parent = 2, .name = "tail"},
    });
    const CgroupPaths paths(facts);
    for (uint64_t id = 1; id <= 5; id++) {
        EXPECT_EQ(paths.path(id), std::nullopt) << id;
        EXPECT_EQ(paths.entity(id).name, "cgroup:" + std::to_string(id));
    }
}

TEST(CgroupPaths, AsDeepAsThereAreCgroups)
{
    CgroupFacts facts = facts_of({{.id = 1, .parent = 0, .name = ""}});
    std::string expected;
    for (uint64_t id = 2; id <= 500; id++) {
        facts.cgroups.push_back({.id = id, .parent = id - 1, .name = std::to_string(id)});
        expected += "/" + std::to_string(id);
    }
    EXPECT_EQ(CgroupPaths(facts).path(500), expected);
}

TEST(CgroupPaths, NoFacts)
{
    const CgroupFacts facts;
    EXPECT_EQ(CgroupPaths(facts).path(1), std::nullopt);
}

} // namespace
} // namespace vtrace
