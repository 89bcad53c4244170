// SPDX-License-Identifier: GPL-2.0-only
// What recordings are compared by: one figure of an interval each, read from the report of one tool.
#pragma once

#include "model/report.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// Rows of one report that are one entity, or all of them, which are the host.
using RowsOf = std::vector<const Row*>;

// What a metric is called and counted in.
struct CompareMetric {
    enum class Worse { kHigher, kLower, kNeither };
    enum class Scale { kTime, kShare, kPerSecond, kBytesPerSecond, kOnAverage };
    std::string_view name;  // in JSON
    std::string_view label; // for people, at most 25 columns
    std::string_view tool;  // whose report it is read from
    Scale scale = Scale::kOnAverage;
    Worse worse = Worse::kHigher; // kNeither: an amount of work
    // Of an interval of so many seconds. Of no rows it is what nothing going on gives: 0, or none where there is
    // nothing to take a share or a quantile of. May be infinite or no number in made-up reports.
    std::optional<double> (*read)(const RowsOf& rows, double seconds) = nullptr;
};

// In the order in which they are shown.
std::span<const CompareMetric> compare_metrics();

// As in JSON: ns, 1 (of a share, and of things there were on average), 1/s, bytes/s.
std::string_view unit_name(CompareMetric::Scale scale);

// The quantile (q in 0 … 1) with its place within its bucket, as if the times in a bucket were spread evenly: else
// series would have steps of 12.5 %. None where fewer than one time is expected to be above it.
std::optional<double> smooth_quantile(const Histogram& histogram, double q);

} // namespace vtrace
