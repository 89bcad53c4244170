// SPDX-License-Identifier: GPL-2.0-only
#include "collect/reasons.h"

#include "vtrace/reason.h"

#include <array>

namespace vtrace {

std::string_view reason_name(uint32_t reason)
{
    static constexpr std::array<std::string_view, VT_REASONS> kNames = {
        "unknown", "runnable", "throttled", "disk",    "lock",  "socket",
        "poll",    "memory",   "fault",     "sleep",   "pipe",  "wait",
        "aio",     "kthread",  "stopped",   "blocked", "other", "dead"};
    return reason < kNames.size() ? kNames[reason] : std::string_view{};
}

} // namespace vtrace
