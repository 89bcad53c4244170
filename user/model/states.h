// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "vtrace/reason.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace vtrace {

// By enum vt_reason: running (VT_REASON_NONE), or off a CPU and why.
inline constexpr size_t kStates = VT_REASON_DEAD;

// Where the time of threads went, in ns.
struct StateTimes {
    uint64_t lived = 0; // how long the threads were there, summed: what the states should add up to
    std::array<uint64_t, kStates> ns{};
    uint64_t stolen = 0; // on a CPU that interrupts or the hypervisor had meanwhile
    // What the kernel counted as run in user space (with the guest), in the kernel, and as a guest.
    uint64_t utime = 0;
    uint64_t stime = 0;
    uint64_t gtime = 0;
    uint64_t voluntary = 0; // times that they left a CPU to wait for something

    // Of all states; it differs from `lived` by what is not known.
    [[nodiscard]] uint64_t sum() const;
    StateTimes& operator+=(const StateTimes& other);
    // What is left of the whole without a part; at least nothing.
    StateTimes& operator-=(const StateTimes& other);
    bool operator==(const StateTimes&) const = default;
};

} // namespace vtrace
