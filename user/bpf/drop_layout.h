// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <map>
#include <string>

struct btf;

namespace vtrace {

// What the kernel says of its tracepoint kfree_skb. Numbers of reasons differ between kernels.
struct DropLayout {
    uint32_t arguments = 2; // that the tracepoint has
    bool not_yet = false;   // its reason 0 is none: SKB_NOT_DROPPED_YET, which 5.17 has not
    uint32_t consumed = 0;  // the reason that is none: SKB_CONSUMED, since 6.3; 0: there is none

    // The kernel's name of a reason, without its SKB_DROP_REASON_; one of a subsystem that the kernel's own types
    // do not name (modules) as "OPENVSWITCH:5", one that nobody names by its number.
    [[nodiscard]] std::string name(uint32_t reason) const;

    std::map<uint32_t, std::string> reasons;
    std::map<uint32_t, std::string> subsystems; // by the upper half of a reason, since 6.4
};

// A pure function of BTF.
DropLayout drop_layout(const btf* types);
// Of this kernel; of one that describes no types, the oldest one's.
DropLayout drop_layout();

} // namespace vtrace
