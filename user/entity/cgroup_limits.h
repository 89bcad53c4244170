// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "entity/cpu_quota.h"
#include "entity/memory_counts.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vtrace {

// What a cgroup may use by its own limits; those of the cgroups above it hold as well.
struct CgroupLimits {
    std::optional<double> cpus; // CPU time per time; empty: no limit
    std::optional<uint64_t> memory_bytes;
    bool operator==(const CgroupLimits&) const = default;
};

// Bytes by the text of memory.max or memory.limit_in_bytes. v1 says "no limit" by a number that no
// host has: the largest multiple of a page below 2^63.
std::optional<uint64_t> memory_limit(std::string_view text);

// Reads the limits of cgroups of this host.
class LimitReader {
public:
    // A pure function of the text of /proc/self/mountinfo.
    explicit LimitReader(std::string_view mountinfo);

    // `path` as from the root of the hierarchy. What cannot be read is no limit.
    [[nodiscard]] CgroupLimits read(const std::string& path) const;
    [[nodiscard]] std::optional<CpuQuota> quota(const std::string& path) const;
    [[nodiscard]] std::optional<QuotaCounts> quota_counts(const std::string& path) const;
    [[nodiscard]] std::optional<uint64_t> memory(const std::string& path) const;
    // Nothing of a cgroup without the memory controller.
    [[nodiscard]] std::optional<MemoryCounts> memory_counts(const std::string& path) const;

private:
    std::string v2_;
    std::string v1_cpu_;
    std::string v1_memory_;
};

} // namespace vtrace
