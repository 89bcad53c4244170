// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "tools/options.h"

#include <chrono>
#include <string>

namespace vtrace {

// Options of `vtrace demo` itself.
struct DemoOptions {
    std::string scenario; // empty: list them
    double duration = 10; // of the diagnosis, in seconds
};

// The scenarios and what they are, as text or JSON.
std::string demo_list(bool json);

// Makes the bottleneck of a scenario, diagnoses it and takes it down again. kUsage if there is none of that name,
// kNotPossible if it cannot be made here. Called while vtrace has one thread: it forks.
Status run_demo(const DemoOptions& demo, const ToolOptions& options,
                std::chrono::steady_clock::time_point process_start);

} // namespace vtrace
