// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "tools/options.h"

#include <string>
#include <string_view>

namespace vtrace {

// Those options that decide what is measured (not how it is shown), as JSON.
std::string save_recorded_options(const ToolOptions& options);

// The options of a replay: those of the recording, and of `given` how it is to be shown. Usage error if something
// is asked for that was not measured so; fails on what save_recorded_options() did not write.
Result<ToolOptions> replay_options(const ToolOptions& given, std::string_view recorded);

// For people: "--container=web --ttfb"; empty if all was measured.
Result<std::string> describe_recorded_options(std::string_view recorded);

} // namespace vtrace
