// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>

namespace vtrace {

// CLOCK_MONOTONIC, which programs read as bpf_ktime_get_ns().
uint64_t monotonic_ns();

// That the current thread had of a CPU.
uint64_t thread_cpu_ns();

// ns since 1970 of a time of that clock.
int64_t to_wall_clock(uint64_t monotonic);

} // namespace vtrace
