// SPDX-License-Identifier: GPL-2.0-only
#include "model/memory.h"

namespace vtrace {
namespace {

uint64_t grown(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

std::optional<uint64_t> grown(const std::optional<uint64_t>& now,
                              const std::optional<uint64_t>& before)
{
    return now && before ? std::optional(grown(*now, *before)) : std::nullopt;
}

} // namespace

std::string_view stall_name(uint32_t kind)
{
    switch (kind) {
    case VT_MEM_RECLAIM: return "reclaim";
    case VT_MEM_LIMIT: return "limit reclaim";
    case VT_MEM_COMPACT: return "compaction";
    case VT_MEM_HIGH: return "memory.high";
    case VT_MEM_SWAPIN: return "swap-in";
    case VT_MEM_FAULT: return "major fault";
    case VT_MEM_THRASH: return "thrashing";
    default: return "other";
    }
}

std::string_view short_of_memory(const OomKill& kill)
{
    switch (kill.kind) {
    case VT_MEM_LIMIT: return "cgroup";
    case VT_MEM_RECLAIM:
    case VT_MEM_COMPACT: return "host";
    default: return "unknown";
    }
}

MemoryCounts difference(const MemoryCounts& now, const MemoryCounts& before)
{
    return {.reclaimed_bytes = grown(now.reclaimed_bytes, before.reclaimed_bytes),
            .stalled_ns = grown(now.stalled_ns, before.stalled_ns),
            .swapped_in_bytes = grown(now.swapped_in_bytes, before.swapped_in_bytes),
            .refaulted_bytes = grown(now.refaulted_bytes, before.refaulted_bytes),
            .major_faults = grown(now.major_faults, before.major_faults),
            .limit_hits = grown(now.limit_hits, before.limit_hits),
            .oom_kills = grown(now.oom_kills, before.oom_kills)};
}

} // namespace vtrace
