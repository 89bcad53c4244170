// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "tools/registry.h"

#include <chrono>

namespace vtrace {

// Runs a tool from start to end: collectors, reports at the interval, Ctrl-C.
Status run_tool(const ToolSpec& tool, const ToolOptions& options,
                std::chrono::steady_clock::time_point process_start);

} // namespace vtrace
