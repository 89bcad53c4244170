// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/perf_map.h"

#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace vtrace {
namespace {

TEST(PerfMap, Lines)
{
    const SymbolTable table =
        parse_perf_map("1000 100 first function\n"
                       "0x2000 0x80 LazyCompile:~run /app/a b.js:1\r\n"
                       "1000 80 its replacement\n"
                       "3000 0 nothing\n4000 10\nx 10 a\n5000 y a\n\n 6000 10 a");
    EXPECT_EQ(table.find(0x1000), "its replacement");
    EXPECT_EQ(table.find(0x107f), "its replacement");
    EXPECT_EQ(table.find(0x1080), "");
    EXPECT_EQ(table.find(0x2040), "LazyCompile:~run /app/a b.js:1\r");
    for (const uint64_t address : {0xfffU, 0x3000U, 0x4000U, 0x5000U, 0x6000U})
        EXPECT_EQ(table.find(address), "") << address;
}

TEST(PerfMap, TheNumberInTheOwnNamespace)
{
    EXPECT_EQ(innermost_pid("Name:\tx\nPid:\t70\nNSpid:\t70\t12\t1\nNSpgid:\t70\n"), 1U);
    EXPECT_EQ(innermost_pid("Name:\tx\nNSpid:\t70"), 70U);
    for (const std::string text :
         {"", "NSpid:", "\nNSpid:", "\nNSpid:\t", "\nNSpid:\tx\n", "\nPid:\t7\n"})
        EXPECT_FALSE(innermost_pid(text)) << text;
}

class PerfMapFile : public testing::Test {
protected:
    PerfMapFile() { ::unlink(path_.c_str()); }
    ~PerfMapFile() override { ::unlink(path_.c_str()); }

    void write(const std::string& text) const
    {
        const Fd fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
        ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }

    uint32_t pid_ = static_cast<uint32_t>(::getpid());
    std::string path_ = "/tmp/perf-" + std::to_string(pid_) + ".map";
};

TEST_F(PerfMapFile, OfThisProcess)
{
    EXPECT_FALSE(open_perf_map(pid_));
    write("1000 10 here\n");
    const Fd fd = open_perf_map(pid_);
    ASSERT_TRUE(fd);
    EXPECT_EQ(read_perf_map(fd), "1000 10 here\n");
}

TEST_F(PerfMapFile, OfAnotherUser)
{
    if (::geteuid() != 0)
        GTEST_SKIP() << "only root can make one";
    write("1000 10 here\n");
    ASSERT_EQ(::chown(path_.c_str(), 65534, 65534), 0);
    EXPECT_FALSE(open_perf_map(pid_)) << "anyone could have made it";
}

TEST_F(PerfMapFile, WhatIsNoFile)
{
    ASSERT_EQ(::symlink("/proc/self/status", path_.c_str()), 0);
    EXPECT_FALSE(open_perf_map(pid_));
    ::unlink(path_.c_str());
    ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
    EXPECT_FALSE(open_perf_map(pid_));
}

} // namespace
} // namespace vtrace
