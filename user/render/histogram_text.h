// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/histogram.h"
#include "render/text.h"

#include <string>
#include <string_view>

namespace vtrace {

// A row per power of two from the first to the last with a count, with bars.
std::string histogram_rows(const Histogram& histogram, std::string_view metric,
                           const TextStyle& style);

// Count, total, mean, quantiles and maximum in a line or two.
std::string histogram_summary(const Histogram& histogram);

// The distribution in 12 columns, a factor of 4 each: below 1 us … above 1 s.
std::string histogram_spark(const Histogram& histogram, const TextStyle& style);
constexpr std::string_view kSparkScale = "1us   1ms 1s";

} // namespace vtrace
