// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/histogram.h"
#include "model/owner.h"
#include "vtrace/mem.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// The name of an enum vt_mem_kind; "other" of those that found no room of their own.
std::string_view stall_name(uint32_t kind);

// Stalls of an owner's tasks that have ended in the window.
struct MemoryStalls {
    OwnerId owner;      // with a cgroup of the hierarchy that has the memory controller
    uint32_t kind = 0;  // enum vt_mem_kind; 0: those that found no room of their own
    uint64_t pages = 0; // freed
    Histogram time;
    bool operator==(const MemoryStalls&) const = default;
};

// A stall that had not ended when the window did.
struct OpenStall {
    OwnerId owner;
    uint32_t kind = 0;
    uint32_t tid = 0;
    uint32_t tgid = 0;
    std::string comm; // raw bytes
    uint64_t age_ns = 0;
    bool operator==(const OpenStall&) const = default;
};

// A process that the kernel killed for its memory.
struct OomKill {
    int64_t time_ns = 0; // since 1970
    OwnerId victim;
    OwnerId cause; // whose task asked for memory then
    uint32_t kind =
        0; // how that one had tried to get some: VT_MEM_LIMIT, or else the host had none
    uint32_t tgid = 0;
    uint32_t cause_tgid = 0;
    std::string comm; // raw bytes
    std::string cause_comm;
    bool operator==(const OomKill&) const = default;
};

// Who had none left: "cgroup" (its limit), "host", or "unknown".
std::string_view short_of_memory(const OomKill& kill);

// What the kernel counts of the host, or of a cgroup and all below it. Empty: not told here.
struct MemoryCounts {
    std::optional<uint64_t> reclaimed_bytes;
    std::optional<uint64_t> stalled_ns; // some task waited for memory (PSI)
    std::optional<uint64_t> swapped_in_bytes;
    std::optional<uint64_t> refaulted_bytes; // read again soon after they were evicted
    uint64_t major_faults = 0;
    uint64_t limit_hits = 0; // times that a limit was in the way; with v1 its own only, as the next
    uint64_t oom_kills = 0;
    bool operator==(const MemoryCounts&) const = default;
};

// What was counted between two reads. Counts go with what is counted: what has shrunk is 0.
MemoryCounts difference(const MemoryCounts& now, const MemoryCounts& before);

// The counts of a cgroup over the window.
struct CgroupMemoryCounts {
    uint64_t cgroup_id = 0;
    std::optional<uint64_t> limit_bytes; // its own, at the end of the window
    MemoryCounts counts;
    bool operator==(const CgroupMemoryCounts&) const = default;
};

struct MemorySnapshot {
    std::vector<MemoryStalls> stalls;
    std::vector<OpenStall> open; // longest first
    std::vector<OomKill> kills;
    std::vector<CgroupMemoryCounts> cgroups;
    MemoryCounts host;
    bool operator==(const MemorySnapshot&) const = default;
};

} // namespace vtrace
