// SPDX-License-Identifier: GPL-2.0-only
#include "base/fd.h"

#include "base/files.h"
#include "support.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

namespace vtrace {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

bool is_open(int fd)
{
    return ::fcntl(fd, F_GETFD) >= 0;
}

int open_null()
{
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    EXPECT_GE(fd, 0);
    return fd;
}

TEST(Fd, ClosesAtItsEnd)
{
    const int number = open_null();
    {
        const Fd fd(number);
        EXPECT_TRUE(fd);
        EXPECT_EQ(fd.get(), number);
        EXPECT_TRUE(is_open(number));
    }
    EXPECT_FALSE(is_open(number));
}

TEST(Fd, EmptyOneIsFalse)
{
    EXPECT_FALSE(Fd());
    EXPECT_FALSE(Fd(-1));
    EXPECT_EQ(Fd().get(), -1);
}

TEST(Fd, ZeroIsADescriptor)
{
    const Fd saved(::fcntl(0, F_DUPFD_CLOEXEC, 3));
    {
        const Fd zero(0);
        EXPECT_TRUE(zero);
    }
    EXPECT_FALSE(is_open(0));
    if (saved) {
        EXPECT_EQ(::dup2(saved.get(), 0), 0);
    }
}

TEST(Fd, MovesOwnership)
{
    const int number = open_null();
    Fd first(number);
    {
        const Fd second(std::move(first));
        EXPECT_EQ(second.get(), number);
        EXPECT_FALSE(first); // NOLINT: that is what is tested
        EXPECT_TRUE(is_open(number));
    }
    EXPECT_FALSE(is_open(number));
}

TEST(Fd, AssignmentClosesEachOnce)
{
    const int a = open_null();
    const int b = open_null();
    ASSERT_NE(a, b);
    {
        Fd first(a);
        {
            Fd second(b);
            first = std::move(second);
            EXPECT_EQ(first.get(), b);
        }
        EXPECT_FALSE(is_open(a));
        EXPECT_TRUE(is_open(b));
    }
    EXPECT_FALSE(is_open(b));
}

TEST(Files, WritesAndReadsBackEveryByte)
{
    const test::TempDir dir;
    const std::string path = dir.path() + "/file";
    std::string bytes;
    for (int i = 0; i < 100'000; i++)
        bytes += static_cast<char>(i * 7 + i / 256);
    {
        const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        ASSERT_TRUE(write_all(fd.get(), bytes, path));
    }
    const auto read = read_file(path);
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, bytes);
}

TEST(Files, WriteToAFullDeviceFails)
{
    if (::access("/dev/full", F_OK) != 0 && errno == ENOENT)
        GTEST_SKIP() << "no /dev/full";
    const Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(full);
    const auto written = write_all(full.get(), "x", "/dev/full");
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, ENOSPC);
}

TEST(Files, SaysWhichFileCannotBeRead)
{
    const auto missing = read_file("/nonexistent/file");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ENOENT);
    EXPECT_NE(missing.error().message().find("/nonexistent/file"), std::string::npos);
    const auto directory = read_file("/");
    ASSERT_FALSE(directory);
    EXPECT_EQ(directory.error().code, EISDIR);
}

TEST(Files, SplitLeavesOutEmptyPieces)
{
    EXPECT_THAT(split("a,b", ','), ElementsAre("a", "b"));
    EXPECT_THAT(split(",,a,,b,,", ','), ElementsAre("a", "b"));
    EXPECT_THAT(split("one", ','), ElementsAre("one"));
    EXPECT_THAT(split("", ','), IsEmpty());
    EXPECT_THAT(split(",,,", ','), IsEmpty());
}

} // namespace
} // namespace vtrace
