// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/cpu_quota.h"

#include <optional>
#include <string_view>

namespace vtrace {

// By the texts of v2's cpu.max ("QUOTA PERIOD" or "max PERIOD", in us) and cpu.max.burst (may be
// missing), nothing without a limit.
std::optional<CpuQuota> quota_of_cpu_max(std::string_view max, std::string_view burst);

// By the texts of v1's cpu.cfs_quota_us (-1: no limit), cpu.cfs_period_us and cpu.cfs_burst_us.
std::optional<CpuQuota> quota_of_cfs(std::string_view quota, std::string_view period,
                                     std::string_view burst);

// By the text of cpu.stat, v1's (throttled_time in ns) or v2's (throttled_usec), since the cgroup was made;
// nothing if it does not tell. Kernels before 5.14 do not count bursts.
std::optional<QuotaCounts> quota_counts(std::string_view cpu_stat);

} // namespace vtrace
