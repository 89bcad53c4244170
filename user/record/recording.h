// SPDX-License-Identifier: GPL-2.0-only
// Recordings: Snapshots at an interval in one file, for a replay on any machine.
//
// A file is a line that names the format, and then frames: a head with a magic number and sizes, a CRC-32 of it and
// one of what follows, which is text that is compressed by zstd. The first frame is the head, each other one an interval. A frame is written at once and
// is on the disk before the next one: whatever ends a recording leaves all intervals before the last one. Numbers are
// little-endian.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "model/snapshot.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// What was measured in one interval: a snapshot for each cgroup hierarchy that figures are charged to.
using Interval = std::vector<Snapshot>;

// A tool that could not be recorded.
struct LeftOut {
    std::string tool;
    std::string why;
    bool operator==(const LeftOut&) const = default;
};

// What a recording says about itself.
struct RecordingHead {
    std::string vtrace;                          // the version that made it
    std::vector<std::vector<std::string>> tools; // that each snapshot of an interval answers
    std::vector<LeftOut> left_out;
    std::string options; // what was measured was chosen by: JSON, tools/recorded_options.h
    bool operator==(const RecordingHead&) const = default;
};

class RecordingWriter {
public:
    // Makes the file, which must not be there yet: a recording is never overwritten.
    static Result<RecordingWriter> create(const std::string& path, const RecordingHead& head);

    // Adds an interval, and has it on the disk when it returns.
    Status add(const Interval& interval);

    [[nodiscard]] uint64_t bytes() const { return bytes_; } // written

private:
    RecordingWriter(Fd file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
    Status write(std::string_view text);

    Fd file_;
    std::string path_;
    uint64_t bytes_ = 0;
};

// A recording in memory; `bytes` must outlive it. Safe on hostile input: a text is at most 64 MiB.
class RecordingReader {
public:
    // Fails on what is no recording, or one of another version.
    static Result<RecordingReader> open(std::string_view bytes);

    [[nodiscard]] const RecordingHead& head() const { return head_; }

    // The next interval, none at the end. Fails on damage. A last frame that is not whole is the end, and `cut()`.
    Result<std::optional<Interval>> next();

    // The recording ended while its last interval was written: that one is not in it.
    [[nodiscard]] bool cut() const { return cut_; }

private:
    explicit RecordingReader(std::string_view frames) : rest_(frames) {}
    Result<std::optional<std::string>> frame();

    std::string_view rest_;
    RecordingHead head_;
    uint64_t frames_ = 0; // read
    bool cut_ = false;
};

// The texts in the frames. Safe on hostile input.
std::string save_interval(const Interval& interval);
Result<Interval> load_interval(std::string_view text);
std::string save_head(const RecordingHead& head);
Result<RecordingHead> load_head(std::string_view text);

} // namespace vtrace
