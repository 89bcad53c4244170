// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>

namespace vtrace {

// The CPU time that a cgroup may use in each period, by its own limit.
struct CpuQuota {
    uint64_t quota_us = 0;
    uint64_t period_us = 0; // never 0
    uint64_t burst_us = 0;  // what was not used of earlier periods may be used on top, up to this

    [[nodiscard]] double cpus() const
    {
        return static_cast<double>(quota_us) / static_cast<double>(period_us);
    }
    bool operator==(const CpuQuota&) const = default;
};

// What the kernel counts of a cgroup's quota.
struct QuotaCounts {
    uint64_t periods = 0;      // in which the cgroup was active
    uint64_t throttled = 0;    // of these, that the quota ran out in
    uint64_t throttled_ns = 0; // summed over CPUs; a throttling counts when it ends
    uint64_t bursts = 0;       // periods that used more than the quota
    uint64_t burst_ns = 0;     // used above the quota
    bool operator==(const QuotaCounts&) const = default;
};

} // namespace vtrace
