// SPDX-License-Identifier: GPL-2.0-only
// What the kernel counts of the memory of a process and of a cgroup. Pure functions of the texts of files; what
// these do not tell is 0, or empty.
#pragma once

#include "model/memory.h"

#include <cstdint>
#include <optional>
#include <string>
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

// The texts of a cgroup's files; empty what is not there.
struct MemoryFiles {
    std::string stat;     // memory.stat
    std::string pressure; // memory.pressure, which is in the v2 hierarchy
    std::string events;   // v2's memory.events
    std::string failures; // v1's memory.failcnt
    std::string oom;      // v1's memory.oom_control
};

// Since a cgroup was made (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst).
MemoryCounts cgroup_memory_v2(const MemoryFiles& files, uint64_t page_bytes);
MemoryCounts cgroup_memory_v1(const MemoryFiles& files, uint64_t page_bytes);

// Of the host, by /proc/vmstat and /proc/pressure/memory (Documentation/accounting/psi.rst).
MemoryCounts host_memory(std::string_view vmstat, std::string_view pressure, uint64_t page_bytes);

} // namespace vtrace
