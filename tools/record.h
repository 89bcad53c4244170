// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "tools/options.h"

#include <chrono>
#include <string>
#include <vector>

namespace vtrace {

// What `vtrace record` was asked for.
struct RecordOptions {
    std::vector<std::string> tools; // that it is for; empty: all but the costly ones
    double interval = 1;            // seconds between snapshots
    double duration = 0;            // seconds; 0 is until Ctrl-C
};

// `vtrace record`: measures for several tools at once into options.output (empty: a name of its own), as long as
// was asked for or until Ctrl-C.
Status run_record(const RecordOptions& record, const ToolOptions& options,
                  std::chrono::steady_clock::time_point process_start);

} // namespace vtrace
