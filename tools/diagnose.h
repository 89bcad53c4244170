// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "diagnose/finding.h"
#include "tools/options.h"
#include "tools/recorded_intervals.h"

#include <chrono>
#include <optional>
#include <string>

namespace vtrace {

// What `vtrace diagnose` and `vtrace report FILE diagnose` were asked for.
struct DiagnoseOptions {
    double duration = 10;            // seconds
    std::string limits_file;         // TOML; empty: the rules' own
    bool explain = false;            // the tree of each owner's time, too
    std::optional<Severity> fail_on; // a finding that is so bad, or worse, is exit code 4
};

// Measures as long as was asked for, or until Ctrl-C, and says what is wrong.
Status run_diagnose(const DiagnoseOptions& diagnose, const ToolOptions& options,
                    std::chrono::steady_clock::time_point process_start);

// The same of each interval of a recording.
Status run_diagnose(const DiagnoseOptions& diagnose, const ReplayOptions& replay,
                    const ToolOptions& options);

// `vtrace rules`: the rules, their limits and where these are from.
Status run_rules(const std::string& limits_file, const ToolOptions& options);

} // namespace vtrace
