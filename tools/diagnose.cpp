// SPDX-License-Identifier: GPL-2.0-only
#include "tools/diagnose.h"

#include "base/files.h"
#include "base/output.h"
#include "base/printable.h"
#include "diagnose/diagnose.h"
#include "diagnose/limits_file.h"
#include "diagnose/rules.h"
#include "record/recording.h"
#include "render/diagnosis.h"
#include "render/rules.h"
#include "tools/facts.h"
#include "tools/measurement.h"
#include "tools/recorded_options.h"
#include "tools/report_writer.h"
#include "tools/stop_signal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace vtrace {
namespace {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::steady_clock;

Result<LimitsByRule> limits_from(const std::string& file)
{
    if (file.empty())
        return LimitsByRule{};
    const auto text = read_file(file);
    if (!text)
        return text.error();
    auto limits = parse_limits(*text);
    if (limits)
        return limits;
    Error error = limits.error();
    error.what = printable(file) + ": " + error.what;
    return error;
}

// Rules that look at nothing here, and why.
std::map<std::string, std::string> not_looked(const Facts& facts)
{
    std::map<std::string, std::string> rules_without;
    for (const Rule& rule : rules()) {
        const auto missing = facts.missing.find(rule.tools.front()); // what it cannot do without
        if (missing != facts.missing.end())
            rules_without.emplace(rule.name, missing->second);
    }
    return rules_without;
}

// What was lost in any of the reports: several are of the same events.
Loss worst_loss(const Facts& facts)
{
    Loss worst;
    for (const auto& [tool, report] : facts.reports) {
        for (const LossCounter& counter : loss_counters())
            worst.*counter.count = std::max(worst.*counter.count, report.loss.*counter.count);
        for (const std::string& fallback : report.loss.fallbacks) {
            if (std::ranges::find(worst.fallbacks, fallback) == worst.fallbacks.end())
                worst.fallbacks.push_back(fallback);
        }
    }
    return worst;
}

// Says what is wrong, window by window.
class Diagnoser {
public:
    Diagnoser(const DiagnoseOptions& diagnose, const ToolOptions& options, LimitsByRule limits,
              Output output)
        : diagnose_(&diagnose), options_(&options), limits_(std::move(limits)),
          output_(std::move(output))
    {
    }

    static Result<Diagnoser> open(const DiagnoseOptions& diagnose, const ToolOptions& options)
    {
        auto limits = limits_from(diagnose.limits_file);
        if (!limits)
            return limits.error();
        auto output = Output::open(options.output);
        if (!output)
            return output.error();
        return Diagnoser(diagnose, options, std::move(*limits), std::move(*output));
    }

    Status add(const RecordingHead& head, const Interval& interval, const ToolOptions& measured)
    {
        Facts facts = facts_of(head, interval, measured);
        facts.held = std::exchange(held_, {});
        Diagnosis diagnosis{.host = interval.front().host,
                            .start_ns = interval.front().start_ns,
                            .duration_ns = interval.front().duration_ns,
                            .findings = vtrace::diagnose(facts, limits_),
                            .not_looked = not_looked(facts),
                            .loss = worst_loss(facts)};
        if (diagnose_->explain)
            diagnosis.trees = explain(facts);
        held_ = keys_of(diagnosis.findings);
        note_worst(diagnosis.findings);
        const bool separate = std::exchange(written_, true) && !options_->json;
        return output_.write(options_->json
                                 ? diagnosis_json(diagnosis)
                                 : (separate ? "\n" : "") +
                                       diagnosis_text(diagnosis, text_style(output_, false)));
    }

    // An error for scripts, if something as bad as they asked for was found.
    [[nodiscard]] Status verdict() const
    {
        if (!diagnose_->fail_on || !worst_ || *worst_ > *diagnose_->fail_on)
            return ok();
        return Error{.what = fmt::format("found: {}", severity_name(*worst_)),
                     .hint = "--fail-on asked for this exit code",
                     .exit = ExitCode::kFound};
    }

private:
    void note_worst(const std::vector<Finding>& findings)
    {
        if (!findings.empty()) // the worst is the first
            worst_ = std::min(worst_.value_or(Severity::kP3), findings.front().severity);
    }

    const DiagnoseOptions* diagnose_;
    const ToolOptions* options_;
    LimitsByRule limits_;
    Output output_;
    std::set<std::string> held_;
    std::optional<Severity> worst_;
    bool written_ = false;
};

// To a person who waits.
void show_progress(double seconds, double of)
{
    say(fmt::format("\rmeasuring: {:.0f} of {:g} s  ", seconds, of));
}

Status measure(Measurement& measurement, double seconds)
{
    const bool person = ::isatty(STDERR_FILENO) != 0;
    const auto start = steady_clock::now();
    double at = 0;
    while (at < seconds && !stop_requested()) {
        if (person)
            show_progress(at, seconds);
        at = std::min(at + 1, seconds);
        const auto until = start + duration_cast<steady_clock::duration>(duration<double>(at));
        if (auto waited = measurement.run_until(until); !waited)
            return waited;
    }
    if (person)
        say("\r\033[K");
    return ok();
}

} // namespace

Status run_diagnose(const DiagnoseOptions& diagnose, const ToolOptions& options,
                    steady_clock::time_point process_start)
{
    stop_on_signals();
    auto diagnoser = Diagnoser::open(diagnose, options);
    if (!diagnoser)
        return diagnoser.error();
    ToolOptions measured = options;
    measured.threads = true;
    auto measurement = Measurement::start({.tools = tools_of_rules(),
                                           .as_far_as_possible = true,
                                           // A recording answers `softirqs`, too.
                                           .softirqs_once = options.record.empty(),
                                           .sample_every = sample_every(diagnose.duration)},
                                          measured, process_start);
    if (!measurement)
        return measurement.error();
    std::optional<RecordingWriter> recording; // if one is asked for
    if (!options.record.empty()) {
        auto created = RecordingWriter::create(options.record, measurement->head());
        if (!created)
            return created.error();
        recording.emplace(std::move(*created));
    }
    if (auto begun = measurement->begin(); !begun)
        return begun;
    if (auto done = measure(*measurement, diagnose.duration); !done)
        return done;
    const auto interval = measurement->read();
    if (!interval)
        return interval.error();
    if (recording) {
        if (auto kept = recording->add(*interval); !kept)
            return kept;
    }
    if (auto added = diagnoser->add(measurement->head(), *interval, measured); !added)
        return added;
    return diagnoser->verdict();
}

Status run_diagnose(const DiagnoseOptions& diagnose, const ReplayOptions& replay,
                    const ToolOptions& options)
{
    OpenedRecording opened;
    if (auto open = open_recording(replay, options.output, opened); !open)
        return open;
    Intervals& intervals = *opened.intervals;
    const auto measured = replay_options(options, intervals.reader().head().options);
    if (!measured)
        return measured.error();
    auto diagnoser = Diagnoser::open(diagnose, options);
    if (!diagnoser)
        return diagnoser.error();
    const RecordingHead& head = intervals.reader().head();
    auto done = for_each_interval(intervals, [&](const Interval& interval) {
        return diagnoser->add(head, interval, *measured);
    });
    return done ? diagnoser->verdict() : done;
}

Status run_rules(const std::string& limits_file, const ToolOptions& options)
{
    const auto limits = limits_from(limits_file);
    if (!limits)
        return limits.error();
    const auto output = Output::open(options.output);
    if (!output)
        return output.error();
    return output->write(options.json ? rules_json(*limits)
                                      : rules_text(*limits, text_style(*output, false)));
}

} // namespace vtrace
