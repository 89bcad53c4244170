// SPDX-License-Identifier: GPL-2.0-only
#include "collect/syscall_reasons.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <algorithm>

namespace vtrace {
namespace {

TEST(SyscallReasons, AreThoseOfTheCall)
{
    const auto reasons = syscall_reasons();
    EXPECT_EQ(reasons.at(__NR_futex), VT_REASON_LOCK);
    EXPECT_EQ(reasons.at(__NR_epoll_pwait), VT_REASON_POLL);
    EXPECT_EQ(reasons.at(__NR_clock_nanosleep), VT_REASON_SLEEP);
    EXPECT_EQ(reasons.at(__NR_recvmsg), VT_REASON_SOCKET);
    EXPECT_EQ(reasons.at(__NR_fdatasync), VT_REASON_DISK);
    EXPECT_EQ(reasons.at(__NR_waitid), VT_REASON_WAIT);
    EXPECT_EQ(reasons.at(__NR_io_uring_enter), VT_REASON_AIO);
    EXPECT_EQ(reasons.at(__NR_msgrcv), VT_REASON_PIPE);
}

TEST(SyscallReasons, AreThoseOfTheFileWhereItDecides)
{
    const auto reasons = syscall_reasons();
    EXPECT_EQ(reasons.at(__NR_read), VT_SYSCALL_FILE);
    EXPECT_EQ(reasons.at(__NR_pwritev2), VT_SYSCALL_FILE);
    EXPECT_EQ(reasons.at(__NR_fcntl), VT_SYSCALL_FCNTL);
}

TEST(SyscallReasons, AreNoneWhereTheCallDoesNotTell)
{
    const auto reasons = syscall_reasons();
    EXPECT_EQ(reasons.at(__NR_ioctl), VT_REASON_NONE);
    EXPECT_EQ(reasons.at(__NR_splice), VT_REASON_NONE);
    EXPECT_EQ(reasons.at(VT_SYSCALLS - 1), VT_REASON_NONE);
}

TEST(SyscallReasons, AreOnesThatBpfKnows)
{
    const auto known = [](uint8_t reason) {
        return reason < VT_REASONS || reason == VT_SYSCALL_FILE || reason == VT_SYSCALL_FCNTL;
    };
    EXPECT_TRUE(std::ranges::all_of(syscall_reasons(), known));
}

} // namespace
} // namespace vtrace
