// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/histogram.h"
#include "model/owner.h"

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// A softirq, or one handler of a hard interrupt.
struct IrqKind {
    bool hard = false;
    bool other = false;  // of handlers, or payers, that found no room of their own
    uint32_t number = 0; // a softirq's vector, or the IRQ
    std::string action;  // of a hard one: its name in /proc/interrupts, raw bytes, at most 31
    auto operator<=>(const IrqKind&) const = default; // NOLINT(modernize-use-nullptr)
    bool operator==(const IrqKind&) const = default;
};

// "NET_RX", as /proc/softirqs has it; a hard one's action; "other".
std::string irq_name(const IrqKind& kind);

// What ran on one CPU in the window.
struct IrqTimes {
    IrqKind kind;
    uint32_t cpu = 0;
    uint64_t not_handled = 0; // runs of a hard one whose device had not asked
    Histogram time;           // from entry to exit
    Histogram delay; // of a softirq: from its first raise to its entry, of all that it is known of
    bool operator==(const IrqTimes&) const = default;
};

// Whose CPU time it took: the task's that was interrupted.
struct IrqCharge {
    IrqKind kind;
    bool idle = false; // nobody's: the CPU was idle
    OwnerId owner;     // none: of those that found no room
    uint64_t count = 0;
    uint64_t ns = 0;
    bool operator==(const IrqCharge&) const = default;
};

struct IrqSnapshot {
    std::vector<IrqTimes> times;
    std::vector<IrqCharge> charges; // with a target: of what was asked for only
    bool operator==(const IrqSnapshot&) const = default;
};

} // namespace vtrace
