// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "tools/recorded_intervals.h"
#include "tools/registry.h"

#include <optional>
#include <string_view>

namespace vtrace {

// "30" and "12.5" are seconds from the start; "2026-11-22T23:14:05Z" (RFC 3339, UTC) is a time. None if it is neither.
std::optional<RecordingTime> parse_recording_time(std::string_view text);

// `vtrace report FILE TOOL`: each interval's report, as the tool gave it or would have given it live.
Status run_replay(const ReplayOptions& replay, const ToolSpec& tool, const ToolOptions& options);

// `vtrace report FILE`: what is in a recording.
Status run_replay(const ReplayOptions& replay, const ToolOptions& options);

} // namespace vtrace
