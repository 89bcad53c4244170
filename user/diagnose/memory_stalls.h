// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "diagnose/rule.h"
#include "model/report.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vtrace {

// What an owner's tasks were held up by for memory, of some kinds of stalls.
struct MemoryHeldUp {
    double ns = 0;
    uint64_t count = 0;
    double share = 0;  // of the time that they were busy: 0 to 1
    std::string worst; // the kind that took longest
};

// Of a row of `memstall`.
MemoryHeldUp held_up(const Facts& facts, const Row& row, std::span<const std::string_view> kinds);

// A finding of such a share.
Finding memory_finding(const Context& context, const Row& row, Severity severity,
                       const MemoryHeldUp& stalls);

} // namespace vtrace
