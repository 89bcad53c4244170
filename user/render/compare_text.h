// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "compare/comparison.h"
#include "render/text.h"

#include <string>

namespace vtrace {

// For people: what was compared, and a table for each recording against the first one and each entity; of one
// recording its trends. Tables are 99 columns wide, the rest is cut to the style's width.
std::string compare_text(const Comparison& comparison, const TextStyle& style);

// A figure in its unit, in at most 8 columns: 1.02ms, 12.5%, 1234/s, 0.25.
std::string format_figure(double value, CompareMetric::Scale scale);

// A difference as part of a median: +12.5%, -3.1%; in at most 7 columns.
std::string format_change(double part);

} // namespace vtrace
