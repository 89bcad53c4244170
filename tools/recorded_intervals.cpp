// SPDX-License-Identifier: GPL-2.0-only
#include "tools/recorded_intervals.h"

#include "base/files.h"
#include "base/printable.h"
#include "tools/report_writer.h"

#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace vtrace {

int64_t end_of(const Snapshot& snapshot)
{
    return snapshot.start_ns + static_cast<int64_t>(snapshot.duration_ns);
}

Intervals::Intervals(RecordingReader reader, const ReplayOptions& replay)
    : reader_(std::move(reader)), replay_(&replay)
{
}

Result<std::optional<Interval>> Intervals::next()
{
    while (true) {
        auto interval = reader_.next();
        if (!interval || !*interval || (*interval)->empty())
            return interval;
        const Snapshot& snapshot = (*interval)->front();
        if (!start_)
            start_ = snapshot.start_ns;
        if (replay_->to && snapshot.start_ns >= time_of(*replay_->to))
            return std::optional<Interval>(); // what is behind it is not even looked at
        if (!replay_->from || end_of(snapshot) > time_of(*replay_->from))
            return interval;
    }
}

// Of times far beyond what a clock shows the last one.
int64_t Intervals::time_of(const RecordingTime& time) const
{
    int64_t sum = time.ns;
    if (time.since_start && __builtin_add_overflow(*start_, time.ns, &sum))
        return std::numeric_limits<int64_t>::max();
    return sum;
}

Status open_recording(const ReplayOptions& replay, const std::string& output,
                      OpenedRecording& opened)
{
    struct stat st = {};
    if (::stat(replay.file.c_str(), &st) == 0 && !S_ISREG(st.st_mode)) // some have no end
        return Error{.what = printable(replay.file) + " is no file",
                     .hint = "`vtrace record` makes recordings",
                     .exit = ExitCode::kUsage};
    struct stat out = {};
    if (::stat(output.c_str(), &out) == 0 && out.st_dev == st.st_dev && out.st_ino == st.st_ino)
        return Error{.what = "--output " + printable(output) + " is the recording",
                     .hint = "give another file",
                     .exit = ExitCode::kUsage};
    auto bytes = read_file(replay.file);
    if (!bytes)
        return bytes.error();
    opened.bytes = std::move(*bytes);
    auto reader = RecordingReader::open(opened.bytes);
    if (!reader) {
        Error error = reader.error();
        error.what = printable(replay.file) + ": " + error.what;
        return error;
    }
    opened.intervals.emplace(std::move(*reader), replay);
    return ok();
}

// Which of an interval's snapshots the tool is answered from.
Result<size_t> snapshot_for(const RecordingHead& head, std::string_view tool)
{
    for (size_t i = 0; i < head.tools.size(); i++) {
        if (std::ranges::find(head.tools[i], tool) != head.tools[i].end())
            return i;
    }
    const auto left_out = std::ranges::find(head.left_out, tool, &LeftOut::tool);
    return Error{.what = "vtrace " + std::string(tool) + " was not recorded" +
                         (left_out == head.left_out.end() ? "" : ": " + printable(left_out->why)),
                 .hint = "`vtrace report FILE` lists what was",
                 .exit = ExitCode::kUsage};
}

Status for_each_interval(Intervals& intervals, const std::function<Status(const Interval&)>& use)
{
    bool any = false;
    while (true) {
        const auto interval = intervals.next();
        if (!interval)
            return interval.error();
        if (!*interval || (*interval)->empty())
            break;
        any = true;
        if (auto used = use(**interval); !used)
            return used;
    }
    const bool cut = intervals.reader().cut();
    if (!any)
        return nothing_there(cut);
    if (cut)
        say_cut();
    return ok();
}

void say_cut()
{
    say("vtrace: the recording ends within an interval: that one is left out\n");
}

Error nothing_there(bool cut)
{
    return {.what = cut ? "the recording ended before its first interval did"
                        : "no interval of the recording is in that time",
            .hint = "`vtrace report FILE` says from when to when it is"};
}

} // namespace vtrace
