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
using testing::SizeIs;

constexpr unsigned kUser = 0x400100;
constexpr unsigned kKernelThread = 0x208040;
constexpr uint64_t kVm = vt_vm_id(42, 1000);

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
        std::filesystem::create_symlink("anon_inode:kvm-vcpu:0", proc.path() + "/42/fd/10");
    }
    void add(uint32_t pid, uint64_t start_time, const std::string& cgroup_text,
             unsigned flags = kUser) const
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
                                                       .vm = kVm,
                                                       .pid = 42}));
    EXPECT_TRUE(finder.knows(kVm));
}

TEST_F(VmFinderTest, ALaterProcessOfTheSameNumberIsAnotherVm)
{
    finder.scan(start);
    finder.update(start + hours(1), false);
    EXPECT_FALSE(fact().ended);
    add(42, 2000, "0::/machine/web\n");
    finder.update(start + hours(1), false);
    EXPECT_TRUE(fact().ended);
    EXPECT_EQ(fact().name, "web") << "it keeps its name";

    constexpr uint64_t kLater = vt_vm_id(42, 2000);
    finder.found({{42, {.start_time = 2000, .vm = kLater}}}, start + hours(1));
    EXPECT_THAT(finder.facts(), SizeIs(2));
    EXPECT_EQ(finder.processes().at(42).vm, kLater);
    finder.forget(kVm);
    EXPECT_EQ(fact().vm, kLater);
    EXPECT_FALSE(fact().ended);
}

TEST_F(VmFinderTest, AProcessMayCloseItsVmAndLiveOn)
{
    finder.scan(start);
    std::filesystem::remove(proc.path() + "/42/fd/9");
    finder.update(start + hours(1), false);
    EXPECT_TRUE(fact().ended);
}

TEST_F(VmFinderTest, FollowsToAnotherCgroup)
{
    finder.scan(start);
    const uint64_t other = cgroups.mkdir("other");
    proc.write("42/cgroup", "0::/other\n");
    finder.update(start + hours(1), false);
    EXPECT_EQ(fact().cgroup_id, other);
}

TEST_F(VmFinderTest, LooksForThoseWhoServeIt)
{
    finder.scan(start);
    EXPECT_THAT(finder.processes(), SizeIs(1));
    add(50, 1001, "0::/machine/web\n", kKernelThread);
    proc.write("50/comm", "vhost-42\n");
    finder.update(start + hours(1), false);
    EXPECT_THAT(finder.processes(), SizeIs(1)) << "not all is read again each time";
    finder.update(start + std::chrono::seconds(1), false);
    EXPECT_EQ(finder.processes().at(50).vm, kVm) << "while it starts it is";
    EXPECT_EQ(finder.processes().at(50).start_time, 1001u);

    const uint64_t changes = finder.changes();
    finder.update(start + hours(1), true);
    EXPECT_EQ(finder.changes(), changes);
    add(50, 3000, "0::/\n"); // it ended, and an ordinary process has its number
    finder.update(start + hours(1), true);
    EXPECT_THAT(finder.processes(), SizeIs(1));
    EXPECT_GT(finder.changes(), changes);
}

TEST_F(VmFinderTest, OneThatWasSeenAndHasGoneHasANumberOnly)
{
    finder.found({{77, {.start_time = 5, .vm = vt_vm_id(77, 5)}}}, start);
    EXPECT_EQ(fact().name, "vm-77");
    EXPECT_TRUE(fact().ended);
    EXPECT_EQ(fact().cgroup_id, 0u);
}

} // namespace
} // namespace vtrace
