// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "diagnose/rule.h"
#include "record/recording.h"
#include "tools/options.h"
#include "tools/registry.h"

#include <string>
#include <vector>

namespace vtrace {

// The tools that any rule looks at.
std::vector<std::string> tools_of_rules();

// What these options are for the report of a tool that rules look at: each owner as a user would name it (of interrupts
// each kind), all rows.
ToolOptions options_for_rules(const ToolSpec& tool, const ToolOptions& options);

// What rules look at, of one interval.
Facts facts_of(const RecordingHead& head, const Interval& interval, const ToolOptions& options);

} // namespace vtrace
