// SPDX-License-Identifier: GPL-2.0-only
#include "model/irq.h"

#include "vtrace/irq.h"

#include <array>

namespace vtrace {

std::string irq_name(const IrqKind& kind)
{
    // include/linux/interrupt.h
    constexpr std::array<std::string_view, VT_SOFTIRQS> kSoftirqs = {
        "HI",       "TIMER",   "NET_TX", "NET_RX",  "BLOCK",
        "IRQ_POLL", "TASKLET", "SCHED",  "HRTIMER", "RCU"};
    if (kind.other)
        return "other";
    if (kind.hard)
        return kind.action;
    return kind.number < kSoftirqs.size() ? std::string(kSoftirqs.at(kind.number)) : "unknown";
}

} // namespace vtrace
