// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/numbers.h"

#include <cstdint>
#include <string>

namespace vtrace {

// A time of three significant digits: 0, 16ns, 1.02us, 34.5ms, 2.31s, 127s, from 3 hours
// on 3.25h, from 10 days on 12.5d.
std::string format_duration(uint64_t ns);

// A count in at most 6 columns (below 10^17): 1234, 123456, 12.3M, 4.56T.
std::string format_count(uint64_t count);

// Bytes in at most 6 columns: 0, 512, 1.2K, 34M, 1.5G.
std::string format_bytes(double bytes);

// UTC, RFC 3339 with milliseconds.
std::string format_time(int64_t ns_since_1970);

// Local time of day with milliseconds, for people.
std::string format_clock(int64_t ns_since_1970);

// 0.25 is 25.0%; what is there, but less than would show, is <0.1%.
std::string format_share(double share);

} // namespace vtrace
