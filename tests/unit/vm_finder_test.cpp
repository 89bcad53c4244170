// SPDX-License-Identifier: GPL-2.0-only
#include "entity/vm_finder.h"

#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace vtrace {
namespace {

using std::chrono::hours;
using testing::ElementsAre;
using testing::IsEmpty;

// Trees like /proc and /sys/fs/cgroup with one VM, process 42 in /machine/web.
class VmFinderTest : public testing::Test {
protected:
    const test::TempDir proc;
    const test::TempDir cgroups;
    const uint64_t cgroup = cgroups.mkdir("machine/web");
    const VmFinder::Clock::time_point start;
    VmFinder finder{{.mount_point = cgroups.path()}, proc.path()};

    VmFinderTest()
    {
        add(42, 1000, "0::/machine/web\n");
        std::filesystem::create_symlink("anon_inode:kvm-vm", proc.path() + "/42/fd/9");
    }
    void add(uint32_t pid, uint64_t start_time, const std::string& cgroup_text,
             unsigned flags = 0x400100) const
    {
        const std::string base = std::to_string(pid) + "/";
        EXPECT_NE(proc.mkdir(base + "fd"), 0u);
        EXPECT_NE(proc.mkdir(base + "task/" + std::to_string(pid)), 0u);
        proc.write(base + "stat", std::to_string(pid) + " (x) S 1 7 7 0 -1 " +
                                      std::to_string(flags) + " 1 2 3 4 5 6 7 8 20 0 3 0 " +
                                      std::to_string(start_time) + " 9 10\n");
        proc.write(base + "comm", "qemu-system-x86\n");
        proc.write(base + "status", "NSpid:\t" + std::to_string(pid) + "\n");
        proc.write(base + "cmdline", std::string("qemu\0-name\0guest=web,debug-threads=on\0-uuid\0"
                                                 "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9\0",
                                                 81));
        proc.write(base + "cgroup", "3:cpu:/elsewhere\n" + cgroup_text);
    }
    [[nodiscard]] EntityFact fact() const
    {
        const auto facts = finder.facts();
        return facts.size() == 1 ? facts.front() : EntityFact{};
    }
};

TEST_F(VmFinderTest, FindsWhoHoldsAVm)
{
    add(43, 1000, "0::/machine\n");
    finder.scan(start);
    EXPECT_THAT(finder.facts(), ElementsAre(EntityFact{.cgroup_id = cgroup,
                                                       .kind = "vm",
                                                       .name = "web",
                                                       .id = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
                                                       .source = "qemu -name",
                                                       .pid = 42}));
    EXPECT_TRUE(finder.knows(42));
    EXPECT_FALSE(finder.knows(43));
}

TEST_F(VmFinderTest, SeesTheEndAndAReusedPid)
{
    finder.scan(start);
    finder.update(start + hours(1));
    EXPECT_FALSE(fact().ended);
    add(42, 2000, "0::/machine/web\n");
    finder.update(start + hours(1));
    EXPECT_TRUE(fact().ended);
    EXPECT_EQ(fact().name, "web") << "it keeps its name";
    finder.forget(42);
    EXPECT_THAT(finder.facts(), IsEmpty());
}

TEST_F(VmFinderTest, FollowsToAnotherCgroup)
{
    finder.scan(start);
    const uint64_t other = cgroups.mkdir("other");
    proc.write("42/cgroup", "0::/other\n");
    finder.update(start + hours(1));
    EXPECT_EQ(fact().cgroup_id, other);
}

TEST_F(VmFinderTest, LooksForThoseWhoServeItWhileItStarts)
{
    constexpr unsigned kKernelThread = 0x208040;
    finder.found(42, start);
    EXPECT_THAT(fact().helpers, IsEmpty());
    add(50, 1001, "0::/machine/web\n", kKernelThread);
    proc.write("50/comm", "vhost-42\n");
    finder.update(start + hours(1));
    EXPECT_THAT(fact().helpers, IsEmpty()) << "nothing is read again later";
    finder.update(start + std::chrono::seconds(1));
    EXPECT_THAT(fact().helpers, ElementsAre(50));
}

TEST_F(VmFinderTest, OneThatWasSeenAndHasGoneHasANumberOnly)
{
    finder.found(77, start);
    EXPECT_EQ(fact().name, "vm-77");
    EXPECT_TRUE(fact().ended);
    EXPECT_EQ(fact().cgroup_id, 0u);
}

} // namespace
} // namespace vtrace
