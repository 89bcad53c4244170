// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "record/recording.h"
#include "tools/collectors.h"
#include "tools/options.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace vtrace {

// What several tools are to be answered from.
struct Wanted {
    std::vector<std::string> tools; // empty: all but the costly ones
    bool as_far_as_possible =
        false; // of those that are named, too: what is not possible here is left out
};

// What several tools need, measured at once: collectors for each cgroup hierarchy that figures are charged to.
class Measurement {
public:
    // Fails if a tool that is named cannot be run here (unless as far as possible will do), or none can.
    static Result<Measurement> start(const Wanted& wanted, const ToolOptions& options,
                                     std::chrono::steady_clock::time_point process_start);

    // By snapshot of an interval the tools that it answers; what was left out, and why; what was chosen.
    [[nodiscard]] const RecordingHead& head() const { return head_; }

    // Begins the first interval: what came before it is in none.
    Status begin();

    // Until then, or until a signal asks to stop.
    Status run_until(std::chrono::steady_clock::time_point deadline);

    // What was measured since the last read or the beginning.
    Result<Interval> read();

private:
    Measurement() = default;
    Status poll();
    [[nodiscard]] std::chrono::nanoseconds poll_every() const;

    RecordingHead head_;
    std::vector<std::unique_ptr<Collectors>> collectors_;
};

} // namespace vtrace
