// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/histogram.h"
#include "model/owner.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vtrace {

// Stalls of an owner's tasks that have ended in the window.
struct MemoryStalls {
    OwnerId owner;     // none: those that found no room
    uint32_t kind = 0; // enum vt_mem_kind
    uint64_t pages = 0; // reclaimed
    Histogram time;
    bool operator==(const MemoryStalls&) const = default;
};

// A stall that had not ended when the window did.
struct OpenStall {
    OwnerId owner;
    uint32_t kind = 0;
    uint32_t tid = 0;
    uint32_t tgid = 0;
    uint64_t age_ns = 0;
    bool operator==(const OpenStall&) const = default;
};

// A process that the kernel killed for its memory.
struct OomKill {
    int64_t time_ns = 0; // since 1970
    OwnerId victim;
    OwnerId cause; // whose task asked for memory then
    uint32_t tgid = 0;
    uint32_t cause_tgid = 0;
    std::string comm; // raw bytes
    std::string cause_comm;
    bool operator==(const OomKill&) const = default;
};

// What the kernel counts of a cgroup and all below it, over the window.
struct CgroupMemoryCounts {
    uint64_t cgroup_id = 0;
    uint64_t major_faults = 0;
    std::optional<uint64_t> swapped_in_bytes; // empty: not counted here
    std::optional<uint64_t> refaulted_bytes;  // read again soon after they were reclaimed
    std::optional<uint64_t> stalled_ns;       // some task waited for memory (PSI), by v2
    uint64_t oom_kills = 0;
    uint64_t limit_hits = 0; // times that its own limit was in the way
    bool operator==(const CgroupMemoryCounts&) const = default;
};

struct MemorySnapshot {
    std::vector<MemoryStalls> stalls;
    std::vector<OpenStall> open; // longest first
    std::vector<OomKill> kills;
    std::vector<CgroupMemoryCounts> cgroups;
    std::optional<uint64_t> host_stalled_ns; // PSI of the host, `some`
    bool operator==(const MemorySnapshot&) const = default;
};

} // namespace vtrace
