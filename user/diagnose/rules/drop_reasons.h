// SPDX-License-Identifier: GPL-2.0-only
// What the kernel's reasons for dropped packets mean to who lost them.
#pragma once

#include <string_view>

namespace vtrace {

enum class DropWeight {
    kFault,    // something that was wanted was lost
    kExpected, // what somebody decided, or what nobody waits for; much of it is worth to know
    kNothing,  // no loss at all
};

struct DropReason {
    std::string_view name; // of enum skb_drop_reason, without its prefix
    DropWeight weight = DropWeight::kExpected;
    std::string_view meaning; // completes "packets lost: …"
    std::string_view advice;
    std::string_view knob;
    bool own = false; // whoever lost them has caused it
};

// SYNs to a full listener, which the kernel counts, but does not drop with a reason.
inline constexpr std::string_view kListenOverflow = "TCP_LISTEN_OVERFLOW";

// Of a reason that is not in the table, kExpected without advice; `protocol` is protocol_name().
DropReason drop_reason(std::string_view name, std::string_view protocol);

} // namespace vtrace
