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
uint64_t value_of(std::string_view text, std::string_view key)
{
    for (const std::string_view line : split(text, '\n')) {
        if (line.starts_with(key))
            return number_at(line.substr(key.size()));
    }
    return 0;
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

CgroupMemory cgroup_memory(std::string_view memory_stat, std::string_view memory_pressure,
                           uint64_t page_bytes)
{
    constexpr std::string_view kTotal = "total=";
    constexpr uint64_t kNsPerUs = 1000;
    CgroupMemory memory{.reclaimed_bytes = page_bytes * value_of(memory_stat, "pgsteal ")};
    for (const std::string_view line : split(memory_pressure, '\n')) {
        const size_t total = line.find(kTotal);
        if (line.starts_with("some ") && total != std::string_view::npos)
            memory.stalled_ns = kNsPerUs * number_at(line.substr(total + kTotal.size()));
    }
    return memory;
}

} // namespace vtrace
