// SPDX-License-Identifier: GPL-2.0-only
#include "demo/loads.h"

#include "base/clock.h"
#include "demo/scenario.h"
#include "demo/threads.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <mutex>
#include <thread>

namespace vtrace {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr size_t kPage = 4096;
constexpr uint64_t kMib = 1 << 20;

void compute_for(nanoseconds time)
{
    const uint64_t end = monotonic_ns() + static_cast<uint64_t>(time.count());
    while (monotonic_ns() < end)
        continue;
}

Result<std::byte*> memory(uint64_t bytes)
{
    void* const at =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return errno_error("cannot get memory");
    return static_cast<std::byte*>(at);
}

void touch(std::byte* from, uint64_t bytes)
{
    volatile std::byte* const to = from; // so that it is done
    for (uint64_t at = 0; at < bytes; at += kPage)
        to[at] = std::byte{1};
}

// In a process of its own, which the kernel is to kill.
[[noreturn]] void outgrow(pid_t parent, const Running& running, const std::string& cgroup,
                          uint64_t bytes)
{
    constexpr auto kEvery = milliseconds(5);
    die_with(parent);
    auto at = memory(bytes);
    // What is locked cannot be swapped out in place of the kill.
    if (!running.cgroups.enter(cgroup) || !at ||
        ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0)
        ::_exit(1);
    for (uint64_t done = 0; done < bytes; done += kMib) {
        touch(*at + done, kMib);
        std::this_thread::sleep_for(kEvery);
    }
    ::_exit(0);
}

} // namespace

Load compute(microseconds busy, microseconds idle)
{
    return [=](const Running&, const Ready& ready) -> Status {
        ready();
        for (;;) {
            compute_for(busy);
            if (idle.count() > 0)
                std::this_thread::sleep_for(idle);
        }
    };
}

Load fight_over_lock(int threads, microseconds held, microseconds idle)
{
    return [=](const Running&, const Ready& ready) -> Status {
        std::mutex lock;
        const auto fight = [&] {
            for (;;) {
                {
                    const std::scoped_lock locked(lock);
                    compute_for(held);
                }
                std::this_thread::sleep_for(idle);
            }
        };
        return work_in_threads(threads, fight, ready);
    };
}

Load touch_memory(uint64_t bytes)
{
    return [=](const Running&, const Ready& ready) -> Status {
        constexpr auto kEvery = milliseconds(10);
        auto at = memory(bytes);
        if (!at)
            return at.error();
        ready();
        for (;;) {
            touch(*at, bytes);
            std::this_thread::sleep_for(kEvery);
        }
    };
}

Load outgrow_memory(const std::string& cgroup, uint64_t bytes)
{
    return [=](const Running& running, const Ready& ready) -> Status {
        constexpr auto kPause = milliseconds(500);
        ready();
        for (;;) {
            const pid_t parent = ::getpid();
            const pid_t pid = ::fork();
            if (pid < 0)
                return errno_error("cannot start a process");
            if (pid == 0)
                outgrow(parent, running, cgroup, bytes);
            ::waitpid(pid, nullptr, 0);
            std::this_thread::sleep_for(kPause);
        }
    };
}

} // namespace vtrace
