// SPDX-License-Identifier: GPL-2.0-only
#include "tools/replay.h"

#include "base/numbers.h"
#include "base/printable.h"
#include "render/units.h"
#include "tools/recorded_options.h"
#include "tools/report_writer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <utility>
#include <vector>

namespace vtrace {
namespace {

constexpr double kNsPerSecond = 1e9;

// The whole of text as a number.
template <typename T> std::optional<T> number_of(std::string_view text)
{
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(value)
                                                                    : std::nullopt;
}

// "2026-11-22T23:14:05Z"
std::optional<int64_t> utc_time(std::string_view text)
{
    constexpr std::string_view kForm = "0000-00-00T00:00:00Z";
    if (text.size() != kForm.size())
        return std::nullopt;
    for (size_t i = 0; i < kForm.size(); i++) {
        const bool digit = text[i] >= '0' && text[i] <= '9';
        if (kForm[i] == '0' ? !digit : text[i] != kForm[i])
            return std::nullopt;
    }
    const auto field = [&](size_t at, size_t digits) {
        return *number_of<int>(text.substr(at, digits));
    };
    std::tm tm{};
    tm.tm_year = field(0, 4) - 1900;
    tm.tm_mon = field(5, 2) - 1;
    tm.tm_mday = field(8, 2);
    tm.tm_hour = field(11, 2);
    tm.tm_min = field(14, 2);
    tm.tm_sec = field(17, 2);
    const std::tm given = tm;
    const time_t seconds = ::timegm(&tm);
    // A day or a minute that does not exist becomes another one.
    if (tm.tm_mon != given.tm_mon || tm.tm_mday != given.tm_mday || tm.tm_hour != given.tm_hour ||
        tm.tm_min != given.tm_min)
        return std::nullopt;
    int64_t ns = 0;
    if (__builtin_mul_overflow(static_cast<int64_t>(seconds), int64_t{1'000'000'000}, &ns))
        return std::nullopt;
    return ns;
}

// What is in a recording, gathered from all of it.
struct Contents {
    Snapshot first; // without figures
    int64_t end_ns = 0;
    uint64_t intervals = 0;
    std::optional<Error> damage; // what is before it can be had
    bool cut = false;
};

Contents contents_of(Intervals& intervals)
{
    Contents contents;
    while (true) {
        const auto interval = intervals.next();
        if (!interval) {
            contents.damage = interval.error();
            break;
        }
        if (!*interval || (*interval)->empty())
            break;
        const Snapshot& snapshot = (*interval)->front();
        if (contents.intervals++ == 0)
            contents.first = {.host = snapshot.host, .start_ns = snapshot.start_ns};
        contents.end_ns = end_of(snapshot);
    }
    contents.cut = intervals.reader().cut();
    return contents;
}

nlohmann::ordered_json contents_json(const Contents& contents, const RecordingHead& head,
                                     const std::string& options)
{
    nlohmann::ordered_json left_out = nlohmann::ordered_json::array();
    for (const LeftOut& tool : head.left_out)
        left_out.push_back({{"tool", printable(tool.tool)}, {"why", printable(tool.why)}});
    nlohmann::ordered_json tools = nlohmann::ordered_json::array();
    for (const auto& of_one : head.tools) {
        for (const std::string& tool : of_one)
            tools.push_back(printable(tool));
    }
    return {{"schema", "vtrace/1"},
            {"recording",
             {{"vtrace", printable(head.vtrace)},
              {"host", printable(contents.first.host.name)},
              {"kernel", printable(contents.first.host.kernel)},
              {"start", format_time(contents.first.start_ns)},
              {"end", format_time(contents.end_ns)},
              {"intervals", contents.intervals},
              {"options", options},
              {"tools", tools},
              {"left_out", left_out},
              {"cut", contents.cut}}}};
}

std::string contents_text(const Contents& contents, const RecordingHead& head,
                          const std::string& options)
{
    const auto duration =
        static_cast<uint64_t>(std::max<int64_t>(0, contents.end_ns - contents.first.start_ns));
    std::string text =
        fmt::format("Recording of {}, Linux {}, by vtrace {}\n"
                    "from    {}\n"
                    "to      {} ({}, {} intervals)\n"
                    "of      {}\n",
                    printable(contents.first.host.name), printable(contents.first.host.kernel),
                    printable(head.vtrace), format_time(contents.first.start_ns),
                    format_time(contents.end_ns), format_duration(duration), contents.intervals,
                    options.empty() ? "the whole host" : options);
    std::vector<std::string> names;
    for (const auto& of_one : head.tools) {
        for (const std::string& tool : of_one)
            names.push_back(printable(tool));
    }
    constexpr size_t kWidth = 80;
    const std::string indent(8, ' ');
    std::string line = "tools  ";
    for (const std::string& name : names) {
        if (line.size() + 1 + name.size() > kWidth) {
            text += line + "\n";
            line = indent.substr(1);
        }
        line += " " + name;
    }
    text += line + "\n";
    for (const LeftOut& tool : head.left_out)
        text += fmt::format("without {}: {}\n", printable(tool.tool), printable(tool.why));
    return text;
}

} // namespace

std::optional<RecordingTime> parse_recording_time(std::string_view text)
{
    constexpr double kMost = 1e9; // seconds: 31 years
    if (const auto ns = utc_time(text))
        return RecordingTime{.since_start = false, .ns = *ns};
    const auto seconds = number_of<double>(text);
    if (!seconds || !(*seconds >= 0 && *seconds <= kMost))
        return std::nullopt;
    return RecordingTime{.ns = std::llround(*seconds * kNsPerSecond)};
}

Status run_replay(const ReplayOptions& replay, const ToolSpec& tool, const ToolOptions& options)
{
    OpenedRecording opened;
    if (auto done = open_recording(replay, options.output, opened); !done)
        return done;
    Intervals& intervals = *opened.intervals;
    const auto at = snapshot_for(intervals.reader().head(), tool.name);
    if (!at)
        return at.error();
    const auto shown = replay_options(options, intervals.reader().head().options);
    if (!shown)
        return shown.error();
    auto output = ReportWriter::open(tool, *shown);
    if (!output)
        return output.error();
    return for_each_interval(
        intervals, [&](const Interval& interval) { return output->write(interval[*at]); });
}

Status run_replay(const ReplayOptions& replay, const ToolOptions& options)
{
    OpenedRecording opened;
    if (auto done = open_recording(replay, options.output, opened); !done)
        return done;
    const RecordingHead head = opened.intervals->reader().head();
    const auto described = describe_recorded_options(head.options);
    if (!described)
        return described.error();
    const Contents contents = contents_of(*opened.intervals);
    if (contents.intervals == 0)
        return contents.damage.value_or(nothing_there(contents.cut));
    const auto output = Output::open(options.output);
    if (!output)
        return output.error();
    auto written =
        output->write(options.json ? contents_json(contents, head, *described).dump() + "\n"
                                   : contents_text(contents, head, *described));
    if (!written)
        return written;
    if (contents.cut)
        say_cut();
    return contents.damage ? Status(*contents.damage) : ok();
}

} // namespace vtrace
