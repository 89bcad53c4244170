// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

namespace vtrace {

// How often each softirq has begun to run since boot, by CPU and vector.
using SoftirqCounts = std::map<std::pair<uint32_t, uint32_t>, uint64_t>;

// From the text of /proc/softirqs: a line for each vector in the order of their numbers, with columns of CPUs. What
// cannot be read is left out.
SoftirqCounts softirq_counts(std::string_view text);

} // namespace vtrace
