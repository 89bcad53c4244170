// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "diagnose/rule.h"
#include "record/recording.h"
#include "tools/options.h"
#include "tools/registry.h"

#include <chrono>
#include <string>
#include <vector>

namespace vtrace {

// The tools that any rule looks at.
std::vector<std::string> tools_of_rules();

// What these options are for the report of a tool that rules look at: each owner as a user would name it (of interrupts
// each kind), all rows.
ToolOptions options_for_rules(const ToolSpec& tool, const ToolOptions& options);

// From a sample of block I/O in flight to the next, in a window of so many seconds: 200 samples tell a share to within
// 3.5 % (standard error), are four times what the rule that asks for the most needs, and more would cost more. 5 to 100 ms.
std::chrono::nanoseconds sample_every(double seconds);

// What rules look at, of one interval.
Facts facts_of(const RecordingHead& head, const Interval& interval, const ToolOptions& options);

} // namespace vtrace
