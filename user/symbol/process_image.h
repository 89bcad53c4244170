// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string_view>

namespace vtrace {

// What tells apart the programs that have had a process id: another process, or another program in it.
struct ProcessImage {
    uint64_t start_time = 0; // of the process, clock ticks since boot
    uint64_t start_code = 0; // where its program and its first stack lie
    uint64_t start_stack = 0;
    bool operator==(const ProcessImage&) const = default;
};

// True if /proc/PID/stat tells times by the clock of the host, as BPF does: outside a time namespace.
bool clock_is_of_host();

// From the text of /proc/PID/stat.
Result<ProcessImage> parse_image(std::string_view stat);
Result<ProcessImage> read_image(uint32_t pid);

} // namespace vtrace
