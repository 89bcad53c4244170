// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "tools/registry.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace vtrace {

// A point in a recording.
struct RecordingTime {
    bool since_start = true; // ns since the first interval's start; else since 1970
    int64_t ns = 0;
};

// "30" and "12.5" are seconds from the start; "2026-11-22T23:14:05Z" (RFC 3339, UTC) is a time. None if it is neither.
std::optional<RecordingTime> parse_recording_time(std::string_view text);

// What `vtrace report` was asked for.
struct ReplayOptions {
    std::string file;
    std::optional<RecordingTime> from; // intervals that end after it
    std::optional<RecordingTime> to;   // and begin before it
};

// `vtrace report FILE TOOL`: each interval's report, as the tool gave it or would have given it live.
Status run_replay(const ReplayOptions& replay, const ToolSpec& tool, const ToolOptions& options);

// `vtrace report FILE`: what is in a recording.
Status run_replay(const ReplayOptions& replay, const ToolOptions& options);

} // namespace vtrace
