// SPDX-License-Identifier: GPL-2.0-only
// What the kernel counts of the memory of a process and of a cgroup. Pure functions of the texts of files; what
// these do not tell is 0, or empty.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace vtrace {

struct ProcessMemory {
    uint64_t rss_bytes = 0;
    uint64_t swapped_bytes = 0;
    std::optional<uint64_t> shared_bytes; // merged by KSM; told since 5.19
    uint64_t minor_faults = 0;            // since it started, of all its threads
    uint64_t major_faults = 0;
    bool operator==(const ProcessMemory&) const = default;
};

// By /proc/PID/status, /proc/PID/stat and /proc/PID/ksm_merging_pages (proc(5); kernel commit 7609385337a4).
ProcessMemory process_memory(std::string_view status, std::string_view stat,
                             std::string_view ksm_merging_pages, uint64_t page_bytes);

struct CgroupMemory {
    uint64_t reclaimed_bytes = 0; // since it was made
    uint64_t stalled_ns = 0;      // some task in it waited for memory
    bool operator==(const CgroupMemory&) const = default;
};

// By v2's memory.stat and memory.pressure (Documentation/admin-guide/cgroup-v2.rst); v1 has neither.
CgroupMemory cgroup_memory(std::string_view memory_stat, std::string_view memory_pressure,
                           uint64_t page_bytes);

} // namespace vtrace
