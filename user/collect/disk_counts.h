// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace vtrace {

// What the kernel counts of a disk or a partition since it is there.
struct DiskCount {
    std::string name;
    uint64_t ios = 0; // completed: reads, writes, discards and flushes
    uint64_t bytes = 0;
    uint64_t ns = 0; // spent on them, summed; to the millisecond
    bool operator==(const DiskCount&) const = default;
};

// By number, major << 20 | minor.
using DiskCounts = std::map<uint32_t, DiskCount>;

// By the text of /proc/diskstats (Documentation/admin-guide/iostats.rst). Lines that are not as known are left out.
DiskCounts disk_counts(std::string_view diskstats);

} // namespace vtrace
