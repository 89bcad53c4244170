// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "tools/options.h"
#include "tools/recorded_intervals.h"

#include <string>
#include <vector>

namespace vtrace {

// What `vtrace compare` was asked for.
struct CompareOptions {
    std::vector<std::string> files; // at least one; all others are held against the first
    ReplayOptions part;             // of each of them; its file is not of interest
};

// `vtrace compare A B [C…]`: recordings side by side, by what options.group and options.target say.
Status run_compare(const CompareOptions& compare, const ToolOptions& options);

} // namespace vtrace
