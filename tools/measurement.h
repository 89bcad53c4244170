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
    // Whom softirqs are charged to is not asked for: they are measured once, with what network devices need.
    bool softirqs_once = false;
    // From a sample of block I/O in flight to the next, at least.
    std::chrono::nanoseconds sample_every = Measured{}.sample_every;
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
    using Clock = std::chrono::steady_clock;
    struct Polled {
        std::unique_ptr<Collectors> collectors;
        Clock::time_point due; // each at its own pace: some look often
    };
    Status poll(Clock::time_point until);
    [[nodiscard]] Clock::time_point next_poll() const;

    RecordingHead head_;
    std::vector<Polled> running_;
};

} // namespace vtrace
