// SPDX-License-Identifier: GPL-2.0-only
// Reading recordings: what `vtrace report` and `vtrace compare` have in common.
#pragma once

#include "base/result.h"
#include "model/snapshot.h"
#include "record/recording.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace vtrace {

// A point in a recording.
struct RecordingTime {
    bool since_start = true; // ns since the first interval's start; else since 1970
    int64_t ns = 0;
};

// What of a recording is to be read.
struct ReplayOptions {
    std::string file;
    std::optional<RecordingTime> from; // intervals that end after it
    std::optional<RecordingTime> to;   // and begin before it
};

// When a window ended, in ns since 1970.
int64_t end_of(const Snapshot& snapshot);

// Those of a recording's intervals that were asked for.
class Intervals {
public:
    // The options must outlive this.
    Intervals(RecordingReader reader, const ReplayOptions& replay);

    // None at the end.
    Result<std::optional<Interval>> next();

    [[nodiscard]] const RecordingReader& reader() const { return reader_; }

private:
    [[nodiscard]] int64_t time_of(const RecordingTime& time) const;

    RecordingReader reader_;
    const ReplayOptions* replay_;
    std::optional<int64_t> start_; // of the recording
};

// Not to be moved: the intervals are of the bytes.
struct OpenedRecording {
    std::string bytes;
    std::optional<Intervals> intervals; // set once it is open
};

// Fails on what is no recording. Usage error if it is no file, or if `output` (empty: none) is the same one.
Status open_recording(const ReplayOptions& replay, const std::string& output,
                      OpenedRecording& opened);

// Which of an interval's snapshots the tool is answered from; usage error with the reason if it was not recorded.
Result<size_t> snapshot_for(const RecordingHead& head, std::string_view tool);

// Uses each, in turn, until that fails. Fails if there is none; a recording that is cut is said to be so on stderr.
Status for_each_interval(Intervals& intervals, const std::function<Status(const Interval&)>& use);

// On stderr.
void say_cut();

// Not one interval of those asked for is in a recording, which ended within one (`cut`) or did not.
Error nothing_there(bool cut);

} // namespace vtrace
