// SPDX-License-Identifier: GPL-2.0-only
#include "collect/softirq_counts.h"

#include "base/files.h"
#include "base/numbers.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace vtrace {

SoftirqCounts softirq_counts(std::string_view text)
{
    constexpr std::string_view kCpu = "CPU";
    SoftirqCounts counts;
    const auto lines = split(text, '\n');
    if (lines.empty())
        return counts;
    std::vector<std::optional<uint64_t>> cpus;
    for (const std::string_view column : split(lines[0], ' '))
        cpus.push_back(column.starts_with(kCpu) ? whole_number(column.substr(kCpu.size()))
                                                : std::nullopt);
    for (size_t line = 1; line < lines.size(); line++) {
        const auto fields = split(lines[line], ' ');
        for (size_t i = 1; i < std::min(fields.size(), cpus.size() + 1); i++) {
            const auto count = whole_number(fields[i]);
            if (count && cpus[i - 1] && *cpus[i - 1] <= UINT32_MAX)
                counts[{static_cast<uint32_t>(*cpus[i - 1]), static_cast<uint32_t>(line - 1)}] =
                    *count;
        }
    }
    return counts;
}

} // namespace vtrace
