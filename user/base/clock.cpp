// SPDX-License-Identifier: GPL-2.0-only
#include "base/clock.h"

#include <ctime>

namespace vtrace {
namespace {

int64_t now(clockid_t clock)
{
    timespec t{};
    ::clock_gettime(clock, &t);
    return t.tv_sec * int64_t{1'000'000'000} + t.tv_nsec;
}

} // namespace

uint64_t monotonic_ns()
{
    return static_cast<uint64_t>(now(CLOCK_MONOTONIC));
}

uint64_t thread_cpu_ns()
{
    return static_cast<uint64_t>(now(CLOCK_THREAD_CPUTIME_ID));
}

int64_t to_wall_clock(uint64_t monotonic)
{
    return now(CLOCK_REALTIME) - now(CLOCK_MONOTONIC) + static_cast<int64_t>(monotonic);
}

} // namespace vtrace
