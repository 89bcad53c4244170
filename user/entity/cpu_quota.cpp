// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cpu_quota.h"

#include "base/files.h"
#include "base/numbers.h"

namespace vtrace {
namespace {

struct Counter {
    std::string_view name;
    uint64_t QuotaCounts::*count;
    uint64_t unit; // of the text, in that of the count
};

constexpr Counter kCounters[] = {
    {"nr_periods", &QuotaCounts::periods, 1},
    {"nr_throttled", &QuotaCounts::throttled, 1},
    {"throttled_time", &QuotaCounts::throttled_ns, 1},
    {"throttled_usec", &QuotaCounts::throttled_ns, 1000},
    {"nr_bursts", &QuotaCounts::bursts, 1},
    {"burst_time", &QuotaCounts::burst_ns, 1},
    {"burst_usec", &QuotaCounts::burst_ns, 1000},
};

} // namespace

std::optional<CpuQuota> quota_of_cpu_max(std::string_view max, std::string_view burst)
{
    const auto fields = split(trimmed(max), ' ');
    return fields.size() == 2 ? quota_of_cfs(fields[0], fields[1], burst) : std::nullopt;
}

std::optional<CpuQuota> quota_of_cfs(std::string_view quota, std::string_view period,
                                     std::string_view burst)
{
    const auto used = whole_number(quota); // neither "max" nor -1 is one
    const auto of = whole_number(period);
    if (!used || !of || *of == 0)
        return std::nullopt;
    return CpuQuota{
        .quota_us = *used, .period_us = *of, .burst_us = whole_number(burst).value_or(0)};
}

std::optional<QuotaCounts> quota_counts(std::string_view cpu_stat)
{
    QuotaCounts counts;
    bool told = false;
    for (const std::string_view line : split(cpu_stat, '\n')) {
        const auto fields = split(line, ' ');
        if (fields.size() != 2)
            continue;
        for (const Counter& counter : kCounters) {
            const auto value = whole_number(fields[1]);
            if (fields[0] != counter.name || !value || *value > UINT64_MAX / counter.unit)
                continue;
            counts.*counter.count = *value * counter.unit;
            told = told || counter.count == &QuotaCounts::periods;
        }
    }
    return told ? std::optional(counts) : std::nullopt;
}

} // namespace vtrace
