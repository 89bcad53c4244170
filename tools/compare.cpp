// SPDX-License-Identifier: GPL-2.0-only
#include "tools/compare.h"

#include "base/output.h"
#include "base/printable.h"
#include "compare/comparison.h"
#include "render/compare_json.h"
#include "render/compare_text.h"
#include "tools/recorded_options.h"
#include "tools/registry.h"
#include "tools/report_writer.h"

#include <algorithm>
#include <map>
#include <utility>

namespace vtrace {
namespace {

constexpr size_t kTextEntities = 20;

// How a tool's report is made of an interval.
struct Source {
    const ToolSpec* tool;
    size_t snapshot; // of the interval
    ToolOptions options;
};

using Sources = std::map<std::string_view, Source>; // by the tool's name

Error with_file(Error error, const std::string& file)
{
    error.what = printable(file) + ": " + error.what;
    return error;
}

// Why a tool that was recorded has no rows by this kind; empty: it has.
std::string without_rows(const ToolSpec& tool, const std::string& kind)
{
    if (kind == "vm")
        return std::string(tool.without_vms);
    if (tool.only_vms && !kind.empty())
        return "the rows of vtrace " + std::string(tool.name) + " are VMs";
    return {};
}

// For each tool that a metric is read from; or why there is none.
Result<Sources> sources_of(const RecordingHead& head, const ToolOptions& options,
                           std::vector<std::string>& missing)
{
    // Whatever was selected for the recording is what is compared: that may be a cgroup here and a VM there.
    auto recorded = replay_options({.json = true}, head.options);
    if (!recorded)
        return recorded.error();
    recorded->group = options.group.empty() ? recorded->target_kind : options.group;
    Sources sources;
    for (const CompareMetric& metric : compare_metrics()) {
        std::string& why = missing.emplace_back();
        const auto tool = std::ranges::find(tools(), metric.tool, &ToolSpec::name);
        const auto at = snapshot_for(head, tool->name);
        why = at ? without_rows(*tool, options.group) : at.error().what;
        if (!why.empty())
            continue;
        Source source{&*tool, *at, *recorded};
        if (source.options.group.empty() || tool->only_vms)
            source.options.group = tool->group;
        sources.try_emplace(metric.tool, std::move(source));
    }
    return sources;
}

void add_loss(Loss& sum, const Loss& loss)
{
    for (const LossCounter& counter : loss_counters())
        sum.*counter.count += loss.*counter.count;
}

void add_interval(ComparedRecording& recording, const Interval& interval, const Sources& sources)
{
    const Snapshot& front = interval.front();
    if (recording.series.intervals() == 0) {
        recording.host = front.host.name;
        recording.kernel = front.host.kernel;
        recording.start_ns = front.start_ns;
    }
    recording.end_ns = end_of(front);
    recording.series.begin(static_cast<double>(front.duration_ns) / 1e9);
    for (const auto& [name, source] : sources)
        recording.series.add(source.tool->build(interval[source.snapshot], source.options));
    for (const Snapshot& snapshot : interval)
        add_loss(recording.loss, snapshot.loss);
}

Result<ComparedRecording> read_recording(const ReplayOptions& replay, const ToolOptions& options)
{
    OpenedRecording opened;
    if (auto done = open_recording(replay, options.output, opened); !done)
        return done.error();
    Intervals& intervals = *opened.intervals;
    const RecordingHead& head = intervals.reader().head();
    ComparedRecording recording{.file = replay.file,
                                .series = Series({options.group, options.target})};
    const auto described = describe_recorded_options(head.options);
    const auto sources = sources_of(head, options, recording.missing);
    if (!described || !sources)
        return with_file(described ? sources.error() : described.error(), replay.file);
    recording.options = *described;
    while (true) {
        const auto interval = intervals.next();
        if (!interval)
            return with_file(interval.error(), replay.file);
        if (!*interval || (*interval)->empty())
            break;
        add_interval(recording, **interval, *sources);
    }
    recording.cut = intervals.reader().cut();
    if (recording.series.intervals() == 0)
        return with_file(nothing_there(recording.cut), replay.file);
    return recording;
}

} // namespace

Status run_compare(const CompareOptions& compare, const ToolOptions& options)
{
    std::vector<ComparedRecording> recordings;
    for (const std::string& file : compare.files) {
        ReplayOptions replay = compare.part;
        replay.file = file;
        auto recording = read_recording(replay, options);
        if (!recording)
            return recording.error();
        recordings.push_back(std::move(*recording));
    }
    const bool any = std::ranges::any_of(
        recordings, [](const ComparedRecording& r) { return !r.series.entities().empty(); });
    if (!any && !options.target.empty())
        return Error{.what = "no " + options.target_kind + " " + printable(options.target) +
                             " is in the recordings",
                     .hint = "--" + options.target_kind + " without a value lists those that are",
                     .exit = ExitCode::kUsage};
    const size_t top = options.top != 0 || options.json ? options.top : kTextEntities;
    const Comparison comparison = vtrace::compare(std::move(recordings), top);
    const auto output = Output::open(options.output);
    if (!output)
        return output.error();
    return output->write(options.json ? compare_json(comparison)
                                      : compare_text(comparison, text_style(*output, false)));
}

} // namespace vtrace
