// SPDX-License-Identifier: GPL-2.0-only
#include "entity/memory_counts.h"

#include "base/files.h"

#include <charconv>

namespace vtrace {
namespace {

// The number that a text begins with, behind spaces and tabs.
uint64_t number_at(std::string_view text)
{
    const size_t start = text.find_first_not_of(" \t");
    uint64_t value = 0;
    if (start != std::string_view::npos)
        std::from_chars(text.data() + start, text.data() + text.size(), value);
    return value;
}

// Of the line that begins with `key`.
std::optional<uint64_t> find_value(std::string_view text, std::string_view key)
{
    for (const std::string_view line : split(text, '\n')) {
        if (line.starts_with(key))
            return number_at(line.substr(key.size()));
    }
    return std::nullopt;
}

uint64_t value_of(std::string_view text, std::string_view key)
{
    return find_value(text, key).value_or(0);
}

std::optional<uint64_t> times(uint64_t page_bytes, const std::optional<uint64_t>& pages)
{
    return pages ? std::optional(page_bytes * *pages) : std::nullopt;
}

// Of files and of what was swapped out (apart since 5.9, 170b04b7ae49).
std::optional<uint64_t> refaulted_pages(std::string_view text, const std::string& prefix)
{
    const auto files = find_value(text, prefix + "workingset_refault_file ");
    const auto anonymous = find_value(text, prefix + "workingset_refault_anon ");
    return files && anonymous ? std::optional(*files + *anonymous) : std::nullopt;
}

// The total of "some", which is in microseconds.
std::optional<uint64_t> stalled_ns(std::string_view pressure)
{
    constexpr std::string_view kTotal = "total=";
    constexpr uint64_t kNsPerUs = 1000;
    for (const std::string_view line : split(pressure, '\n')) {
        const size_t total = line.find(kTotal);
        if (line.starts_with("some ") && total != std::string_view::npos)
            return kNsPerUs * number_at(line.substr(total + kTotal.size()));
    }
    return std::nullopt;
}

} // namespace

ProcessMemory process_memory(std::string_view status, std::string_view stat,
                             std::string_view ksm_merging_pages, uint64_t page_bytes)
{
    constexpr uint64_t kKiB = 1024;
    // Behind the name, which may have any characters: the state is the first field, minflt and majflt the 8th
    // and the 10th.
    constexpr size_t kMinor = 7, kMajor = 9;
    ProcessMemory memory{.rss_bytes = kKiB * value_of(status, "VmRSS:"),
                         .swapped_bytes = kKiB * value_of(status, "VmSwap:"),
                         .shared_bytes = std::nullopt};
    uint64_t merged = 0;
    const char* end = ksm_merging_pages.data() + ksm_merging_pages.size();
    if (std::from_chars(ksm_merging_pages.data(), end, merged).ec == std::errc{})
        memory.shared_bytes = page_bytes * merged;
    const size_t name_end = stat.rfind(')');
    if (name_end == std::string_view::npos)
        return memory;
    const auto fields = split(stat.substr(name_end + 1), ' ');
    if (fields.size() > kMajor) {
        memory.minor_faults = number_at(fields[kMinor]);
        memory.major_faults = number_at(fields[kMajor]);
    }
    return memory;
}

MemoryCounts cgroup_memory_v2(const MemoryFiles& files, uint64_t page_bytes)
{
    MemoryCounts counts;
    counts.reclaimed_bytes = times(page_bytes, find_value(files.stat, "pgsteal "));
    counts.stalled_ns = stalled_ns(files.pressure);
    counts.swapped_in_bytes = times(page_bytes, find_value(files.stat, "pswpin "));
    counts.refaulted_bytes = times(page_bytes, refaulted_pages(files.stat, ""));
    counts.major_faults = value_of(files.stat, "pgmajfault ");
    counts.limit_hits = value_of(files.events, "max ") + value_of(files.events, "high ");
    counts.oom_kills = value_of(files.events, "oom_kill ");
    return counts;
}

MemoryCounts cgroup_memory_v1(const MemoryFiles& files, uint64_t page_bytes)
{
    MemoryCounts counts;
    counts.stalled_ns = stalled_ns(files.pressure);
    counts.refaulted_bytes = times(page_bytes, refaulted_pages(files.stat, "total_"));
    counts.major_faults = value_of(files.stat, "total_pgmajfault ");
    counts.limit_hits = number_at(files.failures);
    counts.oom_kills = value_of(files.oom, "oom_kill ");
    return counts;
}

MemoryCounts host_memory(std::string_view vmstat, std::string_view pressure, uint64_t page_bytes)
{
    MemoryCounts counts;
    counts.stalled_ns = stalled_ns(pressure);
    counts.swapped_in_bytes = times(page_bytes, find_value(vmstat, "pswpin "));
    counts.refaulted_bytes = times(page_bytes, refaulted_pages(vmstat, ""));
    counts.major_faults = value_of(vmstat, "pgmajfault ");
    counts.oom_kills = value_of(vmstat, "oom_kill ");
    return counts;
}

} // namespace vtrace
