// SPDX-License-Identifier: GPL-2.0-only
#include "entity/entities.h"

#include "entity/cgroup_tree.h"
#include "entity/entity_finder.h"
#include "vtrace/vm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vtrace {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class EntitiesTest : public testing::Test {
protected:
    CgroupFacts cgroups = {.hierarchy = "v2",
                           .cgroups = {
                               {.id = 1},
                               {.id = 2, .parent = 1, .name = "kubepods"},
                               {.id = 3, .parent = 2, .name = "podX"},
                               {.id = 4, .parent = 3, .name = "4f5e", .removed = true},
                               {.id = 5, .parent = 4, .name = "inner.service"},
                               {.id = 6, .parent = 1, .name = "system.slice"},
                               {.id = 7, .parent = 6, .name = "ssh.service"},
                               {.id = 9, .parent = 8, .name = "orphan"},
                           }};
    std::vector<EntityFact> facts = {
        {.cgroup_id = 3, .kind = "pod", .name = "shop/web", .id = "0a1b", .source = "cgroup"},
        {.cgroup_id = 4,
         .kind = "container",
         .name = "nginx",
         .id = "4f5e6a7b",
         .image = "nginx:1",
         .source = "containerd files"},
        {.cgroup_id = 5, .kind = "unit", .name = "inner.service", .source = "cgroup"},
        {.cgroup_id = 6, .kind = "unit", .name = "system.slice", .source = "cgroup"},
        {.cgroup_id = 7, .kind = "unit", .name = "ssh.service", .source = "cgroup"},
    };
    Entities entities{cgroups, facts};
};

TEST_F(EntitiesTest, TheNearestOfTheKindOwnsACgroup)
{
    const Entity container = entities.owner(5, 0, "container");
    EXPECT_EQ(container.kind, "container");
    EXPECT_EQ(container.name, "nginx");
    EXPECT_EQ(container.uid, "4f5e6a7b");
    EXPECT_EQ(container.image, "nginx:1");
    EXPECT_EQ(container.cgroup, "/kubepods/podX/4f5e");
    EXPECT_EQ(container.id, 4u);
    EXPECT_TRUE(container.ended);
    EXPECT_THAT(container.parents, ElementsAre(EntityName{"pod", "shop/web"}));
    EXPECT_EQ(entities.owner(4, 0, "container").name, "nginx");
    EXPECT_EQ(entities.owner(5, 0, "pod").name, "shop/web");
    EXPECT_THAT(entities.owner(5, 0, "pod").parents, IsEmpty());
    EXPECT_EQ(entities.owner(7, 0, "unit").name, "ssh.service");
    EXPECT_THAT(entities.owner(7, 0, "unit").parents,
                ElementsAre(EntityName{"unit", "system.slice"}));
    EXPECT_THAT(entities.owner(5, 0, "unit").parents,
                ElementsAre(EntityName{"container", "nginx"}, EntityName{"pod", "shop/web"}));
}

TEST_F(EntitiesTest, WhatIsInNoneIsTheHosts)
{
    for (const uint64_t id : {1U, 2U, 3U, 6U, 7U}) {
        const Entity entity = entities.owner(id, 0, "container");
        EXPECT_EQ(entity.kind, "host");
        EXPECT_EQ(entity.name, "not in a container");
        EXPECT_EQ(entity.id, 0u);
        EXPECT_EQ(entity.cgroup, "");
    }
    EXPECT_EQ(entities.owner(4, 0, "unit").name, "not in a unit");
}

TEST_F(EntitiesTest, WhatIsNotKnownIsNotGuessed)
{
    for (const uint64_t id : {8U, 9U, 77U}) {
        EXPECT_EQ(entities.owner(id, 0, "container").kind, "cgroup");
        EXPECT_EQ(entities.owner(id, 0, "container").name, "cgroup:" + std::to_string(id));
    }
}

TEST_F(EntitiesTest, CgroupsAreThemselves)
{
    EXPECT_EQ(entities.owner(5, 0, "cgroup").name, "/kubepods/podX/4f5e/inner.service");
    EXPECT_EQ(entities.owner(5, 0, "cgroup").kind, "cgroup");
}

TEST_F(EntitiesTest, AVmOwnsItsProcesses)
{
    facts.push_back({.cgroup_id = 4,
                     .kind = "vm",
                     .name = "web",
                     .id = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
                     .source = "qemu -name",
                     .vm = 10'000,
                     .pid = 100});
    facts.push_back(
        {.cgroup_id = 7, .kind = "vm", .name = "db", .vm = 20'000, .pid = 200, .ended = true});
    const Entities with_vms(cgroups, facts);
    const Entity web = with_vms.owner(7, 10'000, "vm");
    EXPECT_EQ(web.kind, "vm");
    EXPECT_EQ(web.name, "web");
    EXPECT_EQ(web.uid, "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9");
    EXPECT_EQ(web.pid, 100u);
    EXPECT_THAT(web.parents,
                ElementsAre(EntityName{"container", "nginx"}, EntityName{"pod", "shop/web"}));
    const Entity db = with_vms.owner(7, 20'000, "vm");
    EXPECT_TRUE(db.ended);
    EXPECT_EQ(db.cgroup, "/system.slice/ssh.service");
    EXPECT_EQ(with_vms.owner(4, 0, "vm").name, "not in a vm");
    EXPECT_EQ(with_vms.owner(4, vt_vm_id(300, 7), "vm").name, "vm-300") << "it has no name here";
    EXPECT_EQ(with_vms.owner(4, 10'000, "container").name, "nginx");
    EXPECT_EQ(with_vms.owner(4, 10'000, "container").parents.size(), 1u) << "it is not in its VM";
    EXPECT_EQ(matching(facts, "vm", "0a1b").front()->name, "web");
    EXPECT_EQ(matching(facts, "vm", "200").front()->name, "db");
}

TEST_F(EntitiesTest, NamesThatAUserMayGive)
{
    const auto names = [&](const char* kind, const char* name) {
        std::vector<std::string> found;
        for (const EntityFact* fact : matching(facts, kind, name))
            found.push_back(fact->name);
        return found;
    };
    EXPECT_THAT(names("container", "nginx"), ElementsAre("nginx"));
    EXPECT_THAT(names("container", "4f5e"), ElementsAre("nginx"));
    EXPECT_THAT(names("container", "4f5"), IsEmpty()) << "too short for an id";
    EXPECT_THAT(names("container", "ngin"), IsEmpty());
    EXPECT_THAT(names("pod", "shop/web"), ElementsAre("shop/web"));
    EXPECT_THAT(names("pod", "web"), ElementsAre("shop/web"));
    EXPECT_THAT(names("unit", "ssh"), ElementsAre("ssh.service"));
    EXPECT_THAT(names("unit", "nginx"), IsEmpty()) << "of another kind";
    facts.push_back({.cgroup_id = 2, .kind = "pod", .name = "test/web"});
    EXPECT_THAT(names("pod", "web"), ElementsAre("shop/web", "test/web"));
    EXPECT_THAT(names("pod", "test/web"), ElementsAre("test/web"));
}

// Nobody has them on record: what the names of cgroups say.
TEST(EntityFinder, FindsByTheNamesOfCgroups)
{
    const std::string id(64, 'a');
    const std::string uid = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
    CgroupTree tree;
    tree.made(1, 0, "");
    tree.made(2, 1, "kubepods");
    tree.made(3, 2, "pod" + uid);
    EntityFinder finder{ContainerRecords(EnginePaths{})};
    const auto now = EntityFinder::Clock::now();
    finder.update(tree, now);
    EXPECT_THAT(finder.facts(), SizeIs(1));
    tree.made(4, 3, id);
    tree.made(5, 1, "ssh.service");
    finder.update(tree, now);
    EXPECT_THAT(
        finder.facts(),
        UnorderedElementsAre(
            EntityFact{.cgroup_id = 3,
                       .kind = "pod",
                       .name = uid.substr(0, 12),
                       .id = uid,
                       .source = "cgroup"},
            EntityFact{.cgroup_id = 4,
                       .kind = "container",
                       .name = id.substr(0, 12),
                       .id = id,
                       .source = "cgroup"},
            EntityFact{.cgroup_id = 5, .kind = "unit", .name = "ssh.service", .source = "cgroup"}));
    tree.made(5, 1, "renamed");
    finder.update(tree, now);
    finder.forget(4);
    EXPECT_THAT(finder.facts(), SizeIs(1));
}

// cgroup v1 allows it; what was waited for is gone then.
TEST(EntityFinder, ACgroupThatIsRenamedIsLookedAtAgain)
{
    const std::string id(64, 'a');
    CgroupTree tree;
    tree.made(1, 0, "");
    tree.made(2, 1, "docker-" + id + ".scope");
    EntityFinder finder{ContainerRecords(EnginePaths{})};
    const auto now = EntityFinder::Clock::now();
    finder.update(tree, now);
    EXPECT_THAT(finder.facts(), SizeIs(2)) << "a container and a unit";
    tree.made(2, 1, "x.service");
    finder.update(tree, now);
    finder.update(tree, now);
    EXPECT_THAT(finder.facts(),
                ElementsAre(EntityFact{
                    .cgroup_id = 2, .kind = "unit", .name = "x.service", .source = "cgroup"}));
}

TEST(CgroupTree, NamesThoseMadeOnce)
{
    CgroupTree tree;
    tree.made(1, 0, "");
    tree.made(2, 1, "a");
    EXPECT_THAT(tree.take_made(), ElementsAre(1, 2));
    tree.made(2, 1, "a"); // a scan sees it again
    EXPECT_THAT(tree.take_made(), IsEmpty());
    tree.removed(2, 1, "a");
    EXPECT_THAT(tree.take_made(), IsEmpty());
    tree.removed(3, 1, "of 20 ms");
    EXPECT_THAT(tree.take_made(), ElementsAre(3));
    EXPECT_EQ(tree.path(3), "/of 20 ms");
    EXPECT_EQ(tree.path(1), "/");
    EXPECT_EQ(tree.path(9), "");
}

} // namespace
} // namespace vtrace
