// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// One mapping of a process, a line of /proc/PID/maps.
struct Mapping {
    uint64_t start = 0;
    uint64_t end = 0;
    bool executable = false;
    uint64_t offset = 0; // in the file
    uint64_t inode = 0;  // 0: no file
    std::string path;    // raw bytes, as its mount namespace knows it; "[vdso]" …; may be empty
    bool deleted = false;
    bool operator==(const Mapping&) const = default;
};

// The mappings of a process, by address. A line that is not one is left out.
std::vector<Mapping> parse_maps(std::string_view text);

Result<std::vector<Mapping>> read_maps(uint32_t pid);

// The mapping that an address lies in, null if none.
const Mapping* find_mapping(const std::vector<Mapping>& maps, uint64_t address);

} // namespace vtrace
