// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/frame_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace vtrace::test {

[[gnu::noinline]] int frame_names_here(int x)
{
    return x + 2;
}

namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

uint64_t here()
{
    return reinterpret_cast<uint64_t>(&frame_names_here);
}

std::vector<std::string> of_this_process(const std::vector<uint64_t>& frames)
{
    const auto pid = static_cast<uint32_t>(::getpid());
    const auto maps = read_maps(pid);
    EXPECT_TRUE(maps);
    return FrameNames().user(pid, *maps, frames);
}

TEST(FrameNames, NamesFunctionsOfAProcess)
{
    EXPECT_THAT(
        of_this_process({here(), here() + 1}),
        ElementsAre("vtrace::test::frame_names_here(int)", "vtrace::test::frame_names_here(int)"));
}

// A call that is the last instruction of a function returns to the first of the next one.
TEST(FrameNames, AReturnAddressBelongsToTheCallBeforeIt)
{
    EXPECT_THAT(of_this_process({here(), here()})[1],
                testing::Ne("vtrace::test::frame_names_here(int)"));
}

TEST(FrameNames, EndsAtWhatIsNoCode)
{
    static int data = 0;
    const auto address = reinterpret_cast<uint64_t>(&data);
    EXPECT_THAT(of_this_process({address, here() + 1}), ElementsAre("[unknown]"));
    EXPECT_THAT(of_this_process({0}), ElementsAre("[unknown]"));
    EXPECT_THAT(of_this_process({}), IsEmpty());
}

TEST(FrameNames, WithoutASymbolSaysWhereInTheFile)
{
    const std::vector<Mapping> maps{
        {.start = 0x1000,
         .end = 0x3000,
         .executable = true,
         .offset = 0x4000,
         .inode = 1,
         .path = "/opt/app/server"},
        {.start = 0x5000, .end = 0x6000, .executable = true},
        {.start = 0x7000, .end = 0x8000, .executable = true, .path = "[uprobes]"}};
    EXPECT_THAT(FrameNames().user(0xfffffff0, maps, std::vector<uint64_t>{0x1010, 0x5001, 0x7001}),
                ElementsAre("[server+0x4010]", "[anonymous]", "[uprobes]"));
}

TEST(FrameNames, KnowsTheVdso)
{
    const uint64_t vdso = ::getauxval(AT_SYSINFO_EHDR);
    if (vdso == 0)
        GTEST_SKIP() << "this kernel has no vdso";
    const auto maps = read_maps(static_cast<uint32_t>(::getpid()));
    ASSERT_TRUE(maps);
    const Mapping* map = find_mapping(*maps, vdso);
    ASSERT_NE(map, nullptr);
    // Somewhere in it is the function for the clock.
    bool found = false;
    FrameNames names;
    for (uint64_t at = map->start; at < map->end && !found; at += 16)
        found = names.user(static_cast<uint32_t>(::getpid()), *maps, std::vector{at})[0].find(
                    "clock_gettime") != std::string::npos;
    EXPECT_TRUE(found);
}

TEST(FrameNames, AKernelFrameHasANameOrItsAddress)
{
    FrameNames names;
    const auto frames = names.kernel(std::vector<uint64_t>{1});
    EXPECT_THAT(frames, ElementsAre(StartsWith("0x1")));
}

} // namespace
} // namespace vtrace::test
