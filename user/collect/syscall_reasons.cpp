// SPDX-License-Identifier: GPL-2.0-only
#include "collect/syscall_reasons.h"

#include <sys/syscall.h>

#include <initializer_list>

namespace vtrace {
namespace {

using Numbers = std::initializer_list<unsigned>;

// Calls whose first argument is a descriptor: what they wait for is told by the kind of its file.
constexpr Numbers kFile = {
    __NR_read,       __NR_write,  __NR_readv,   __NR_writev,  __NR_pread64,
    __NR_pwrite64,   __NR_preadv, __NR_pwritev, __NR_preadv2, __NR_pwritev2,
#ifdef __NR_getdents
    __NR_getdents,
#endif
    __NR_getdents64,
};

constexpr Numbers kDisk = {
    __NR_fsync, __NR_fdatasync, __NR_sync, __NR_syncfs, __NR_sync_file_range, __NR_msync,
};

constexpr Numbers kLock = {
    __NR_futex, __NR_futex_waitv, 455 /* futex_wait, since 6.7 */,
    __NR_semop, __NR_semtimedop,  __NR_flock,
};

constexpr Numbers kSocket = {
    __NR_accept,  __NR_accept4, __NR_connect,  __NR_sendto,   __NR_recvfrom,
    __NR_sendmsg, __NR_recvmsg, __NR_sendmmsg, __NR_recvmmsg,
};

constexpr Numbers kPoll = {
#ifdef __NR_poll
    __NR_poll,
#endif
#ifdef __NR_select
    __NR_select,
#endif
#ifdef __NR_epoll_wait
    __NR_epoll_wait,
#endif
    __NR_ppoll,      __NR_pselect6, __NR_epoll_pwait, __NR_epoll_pwait2,
};

constexpr Numbers kSleep = {__NR_nanosleep, __NR_clock_nanosleep};

constexpr Numbers kQueue = {
    __NR_msgsnd,
    __NR_msgrcv,
    __NR_mq_timedsend,
    __NR_mq_timedreceive,
};

constexpr Numbers kWait = {
#ifdef __NR_pause
    __NR_pause,
#endif
#ifdef __NR_vfork
    __NR_vfork,
#endif
    __NR_wait4, __NR_waitid, __NR_rt_sigsuspend, __NR_rt_sigtimedwait,
};

constexpr Numbers kAio = {
    __NR_io_getevents,
    __NR_io_pgetevents,
    __NR_io_uring_enter,
};

} // namespace

std::array<uint8_t, VT_SYSCALLS> syscall_reasons()
{
    std::array<uint8_t, VT_SYSCALLS> table{};
    const auto set = [&](Numbers numbers, uint8_t reason) {
        for (const unsigned number : numbers)
            table.at(number) = reason;
    };
    set(kFile, VT_SYSCALL_FILE);
    set(kDisk, VT_REASON_DISK);
    set(kLock, VT_REASON_LOCK);
    set(kSocket, VT_REASON_SOCKET);
    set(kPoll, VT_REASON_POLL);
    set(kSleep, VT_REASON_SLEEP);
    set(kQueue, VT_REASON_PIPE);
    set(kWait, VT_REASON_WAIT);
    set(kAio, VT_REASON_AIO);
    set({__NR_fcntl}, VT_SYSCALL_FCNTL);
    return table;
}

} // namespace vtrace
