// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <optional>

namespace vtrace {

// What a cgroup may do on a disk in a second; empty is without limit.
struct IoLimit {
    std::optional<uint64_t> read_bytes;
    std::optional<uint64_t> write_bytes;
    std::optional<uint64_t> reads;
    std::optional<uint64_t> writes;
    bool operator==(const IoLimit&) const = default;
};

} // namespace vtrace
