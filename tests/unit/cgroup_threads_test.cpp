// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_threads.h"

#include "entity/cgroup_tree.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vtrace {
namespace {

using test::TempDir;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

CgroupFacts facts_of(const TempDir& dir)
{
    CgroupTree tree;
    EXPECT_TRUE(tree.scan(dir.path()));
    return {.hierarchy = "", .cgroups = tree.facts()};
}

TEST(CountThreads, AddsUpTheSubtree)
{
    for (const bool v1 : {false, true}) {
        const TempDir dir;
        const std::string file = v1 ? "/tasks" : "/cgroup.threads";
        const uint64_t pod = dir.mkdir("pod");
        const uint64_t container = dir.mkdir("pod/container");
        const uint64_t inner = dir.mkdir("pod/container/inner");
        const uint64_t empty = dir.mkdir("empty");
        (void)dir.mkdir("other");
        dir.write("pod" + file, "7\n");
        dir.write("pod/container" + file, "1\n2\n");
        dir.write("pod/container/inner" + file, "0\n0\n1234567\n");
        dir.write("empty" + file, "");
        dir.write("other" + file, "9\n");
        const CgroupHierarchy hierarchy{.v1 = v1, .mount_point = dir.path()};
        EXPECT_THAT(
            count_threads(hierarchy, facts_of(dir), {pod, container, inner, empty}),
            UnorderedElementsAre(Pair(pod, 6), Pair(container, 5), Pair(inner, 3), Pair(empty, 0)))
            << v1;
        EXPECT_THAT(count_threads(hierarchy, facts_of(dir), {}), IsEmpty());
    }
}

TEST(CountThreads, OfWhatIsNotThereIsNone)
{
    const TempDir dir;
    const uint64_t bare = dir.mkdir("bare");
    const CgroupHierarchy hierarchy{.mount_point = dir.path()};
    EXPECT_THAT(count_threads(hierarchy, facts_of(dir), {bare, 77}),
                UnorderedElementsAre(Pair(bare, 0), Pair(77, 0)));
}

} // namespace
} // namespace vtrace
