// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

#include <array>
#include <cstdint>
#include <string_view>

namespace vtrace {

// A glob over a task's name (`*`, `?`, `[a-z]`, `[!a-z]`, `\x`) compiled for
// bpf/common/comm_glob.bpf.h: state i means that the first i elements are matched.
struct CommGlob {
    std::array<uint64_t, 256> advance{}; // by character: the states that it moves on by one
    uint64_t stay = 0;                   // states that any character keeps: those behind a star
    uint64_t accept = 0;
};

// Usage error if the pattern is malformed, empty or of more than 63 elements.
Result<CommGlob> compile_comm_glob(std::string_view pattern);

// What the BPF program computes, for a name of up to 15 characters.
bool matches(const CommGlob& glob, std::string_view comm);

} // namespace vtrace
