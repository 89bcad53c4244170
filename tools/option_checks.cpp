// SPDX-License-Identifier: GPL-2.0-only
#include "tools/option_checks.h"

#include "base/files.h"
#include "base/printable.h"
#include "demo/scenario.h"
#include "tools/peer_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace vtrace {
namespace {

constexpr double kMinInterval = 0.01;
constexpr double kMaxInterval = 365 * 86400.0;
constexpr double kMinWatch = 0.1;
constexpr double kLeastDiagnosis = 0.5; // below it nothing happens often enough
constexpr double kMaxWatch = 86400;

// The whole of text as a finite number in [low, high].
template <typename T> std::optional<T> number_in(std::string_view text, T low, T high)
{
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    // Written so that NaN fails, too.
    if (error != std::errc{} || end != text.data() + text.size() ||
        !(value >= low && value <= high))
        return std::nullopt;
    return value;
}

Error bare_value(std::string_view kind, std::string_view value)
{
    return usage(
        "unexpected " + printable(value),
        fmt::format("a {} goes behind an equals sign: --{}={}", kind, kind, printable(value)));
}

Error bad_interval(const std::string& text)
{
    if (text.starts_with('/'))
        return bare_value("cgroup", text);
    return usage("INTERVAL " + printable(text) + " is not a number of seconds",
                 "from 0.01 to 31536000, for example 1 or 0.5");
}

// A bound of a time in milliseconds.
Status check_bound(const std::string& option, const std::string& text, double& ms)
{
    constexpr double kMost = 86'400'000;
    if (text.empty())
        return ok();
    const auto given = number_in(text, 0.0, kMost);
    if (!given)
        return usage(option + " " + printable(text) + " is not a number of milliseconds",
                     "from 0 to 86400000, for example 10");
    ms = *given;
    return ok();
}

Status check_bounds(const RawOptions& raw, ToolOptions& options)
{
    if (auto checked = check_bound("--min", raw.min, options.min_ms); !checked)
        return checked;
    if (auto checked = check_bound("--max", raw.max, options.max_ms); !checked)
        return checked;
    if (options.max_ms < options.min_ms)
        return usage(fmt::format("no time is at least {} ms and at most {} ms", options.min_ms,
                                 options.max_ms),
                     "--max is to be at least --min, which is 1 by default");
    return ok();
}

Status check_numbers(const RawOptions& raw, ToolOptions& options)
{
    constexpr int kMaxPid = 1 << 22;
    constexpr uint64_t kMaxRows = 1'000'000;
    constexpr uint64_t kMaxCount = 1'000'000'000;
    constexpr double kMaxSlowerMs = 86'400'000;
    if (!raw.interval.empty()) {
        const auto interval = number_in(raw.interval, kMinInterval, kMaxInterval);
        if (!interval)
            return bad_interval(raw.interval);
        options.interval = *interval;
    }
    if (!raw.count.empty()) {
        const auto count = number_in<uint64_t>(raw.count, 1, kMaxCount);
        if (!count)
            return usage("COUNT " + printable(raw.count) + " is not a number of reports",
                         "a whole number from 1 to 1000000000");
        options.count = *count;
    }
    if (!raw.pid.empty()) {
        const auto pid = number_in<int>(raw.pid, 1, kMaxPid);
        if (!pid)
            return usage("--pid " + printable(raw.pid) + " is not a process id",
                         "a whole number from 1 to 4194304");
        options.pid = *pid;
    }
    if (!raw.vcpu.empty()) {
        constexpr uint32_t kMostVcpus = 1U << 16;
        options.vcpu = number_in<uint32_t>(raw.vcpu, 0, kMostVcpus);
        if (!options.vcpu)
            return usage("--vcpu " + printable(raw.vcpu) + " is not a vCPU's number",
                         "a whole number from 0 to 65536");
    }
    if (!raw.top.empty()) {
        const auto top = number_in<uint64_t>(raw.top, 1, kMaxRows);
        if (!top)
            return usage("--top " + printable(raw.top) + " is not a number of rows",
                         "a whole number from 1 to 1000000");
        options.top = *top;
    }
    if (!raw.slower.empty()) {
        const auto slower = number_in(raw.slower, 1e-3, kMaxSlowerMs);
        if (!slower)
            return usage("--slower " + printable(raw.slower) + " is not a number of milliseconds",
                         "from 0.001 to 86400000, for example 10");
        options.slower_ms = *slower;
    }
    return ok();
}

Status check_targets(const RawOptions& raw, ToolOptions& options)
{
    for (size_t i = 0; i < kTargets.size(); i++) {
        const TargetFlag& flag = kTargets[i];
        const std::string& value = raw.targets[i];
        if (value.empty())
            continue;
        // The root is all there is: no test of ancestry is needed then.
        if (value.find_first_not_of(flag.all.front()) == std::string::npos) {
            if (!options.group.empty())
                return usage("--" + options.group + " and " + flag_of(flag) +
                                 " both say what to group by",
                             "give one of them a value to select, or leave it out");
            options.group = flag.kind;
            continue;
        }
        if (!options.target.empty())
            return usage("--" + options.target_kind + " and " + flag_of(flag) + " both select",
                         "one of them can have a value");
        options.target_kind = flag.kind;
        options.target = value;
    }
    if (options.group.empty())
        options.group = options.target_kind;
    return ok();
}

// Leaves `to` as it is if nothing is given.
Status check_seconds(const std::string& name, const std::string& text, double least, double& to)
{
    const auto given = text.empty() ? to : number_in(text, least, kMaxInterval);
    if (!given)
        return usage(name + " " + printable(text) + " is not a number of seconds",
                     fmt::format("from {} to 31536000, for example 10", least));
    to = *given;
    return ok();
}

bool is_subcommand(std::string_view word)
{
    constexpr std::array<std::string_view, 10> kOthers = {"list",  "check",     "ps",      "record",
                                                          kReport, kCompare,    kDiagnose, "rules",
                                                          kDemo,   "completion"};
    return std::ranges::find(kOthers, word) != kOthers.end() || find_tool(word) != nullptr;
}

Status check_first_word(std::string_view word)
{
    constexpr std::array<std::string_view, 3> kAlone = {"-h", "--help", "--version"};
    if (is_subcommand(word) || std::ranges::find(kAlone, word) != kAlone.end())
        return ok();
    return usage((word.starts_with('-') ? "no tool before option " : "there is no tool ") +
                     printable(word),
                 "`vtrace list` names the tools, --help the options");
}

// What CLI11 would accept or describe badly. `before` is the word in front.
Status check_word(std::string_view before, std::string_view word)
{
    // Often a shell variable that is not set: a filter must not go away for that.
    if (word.empty())
        return usage("an empty word behind " + printable(before), "leave it out, or see --help");
    if (before == "--cgroup" && word.starts_with('/'))
        return bare_value("cgroup", word);
    for (const TargetFlag& target : kTargets) {
        const bool value = std::isalpha(static_cast<unsigned char>(word.front())) != 0;
        if (value && before == flag_of(target))
            return bare_value(target.kind, word);
    }
    if (word == "--cgroup=")
        return usage("--cgroup= has no path",
                     "--cgroup groups by cgroup, --cgroup=/PATH selects one and what is below it");
    if (word.starts_with("--") && word.find('=') == word.size() - 1)
        return usage(printable(word) + " has no value", "leave it out, or see --help");
    const auto second = static_cast<unsigned char>(word.size() > 1 ? word[1] : 0);
    if (word[0] == '-' && (std::isdigit(second) != 0 || second == '.'))
        return usage("a negative number, " + printable(word) + ", makes no sense here");
    return ok();
}

} // namespace

Error usage(std::string what, std::string hint)
{
    return {.what = std::move(what), .hint = std::move(hint), .exit = ExitCode::kUsage};
}

Status check_options(const RawOptions& raw, ToolOptions& options)
{
    options.json = raw.format == "json";
    options.folded = raw.format == "folded";
    if (auto checked = check_bounds(raw, options); !checked)
        return checked;
    if (auto checked = check_targets(raw, options); !checked)
        return checked;
    const auto peers = parse_peer_key(raw.by, raw.subnet);
    if (!peers)
        return peers.error();
    options.peers = *peers;
    return check_numbers(raw, options);
}

Status check_group(const ToolSpec& tool, ToolOptions& options)
{
    if (tool.only_vms && options.group != options.target_kind && options.group != "vm")
        return usage("the rows of vtrace " + std::string(tool.name) + " are VMs: --" +
                         options.group + " can select, not group",
                     "give --" + options.group + " a value, or leave it out");
    if (options.group.empty() || tool.only_vms)
        options.group = tool.group;
    return ok();
}

Status check_watch(const RawOptions& raw, double& seconds)
{
    if (raw.watch.empty())
        return ok();
    const auto given = number_in(raw.watch, kMinWatch, kMaxWatch);
    if (!given)
        return usage("--watch=" + printable(raw.watch) + " is not a number of seconds",
                     "from 0.1 to 86400, for example --watch=5");
    seconds = *given;
    return ok();
}

Status check_record(const RawOptions& raw, const ToolOptions& options, RecordOptions& record)
{
    if (!options.group.empty() && options.target.empty())
        return usage("--" + options.group + " selects nothing",
                     "give it a value; what to group by is said to `vtrace report`");
    constexpr double kLeastBetween = 0.1;
    if (auto checked = check_seconds("--interval", raw.every, kLeastBetween, record.interval);
        !checked)
        return checked;
    if (auto checked = check_seconds("DURATION", raw.duration, kMinInterval, record.duration);
        !checked)
        return checked;
    for (const std::string_view name : split(raw.tools, ',')) {
        if (find_tool(name) == nullptr)
            return usage("--tools: there is no tool " + printable(name),
                         "`vtrace list` names them");
        record.tools.emplace_back(name);
    }
    if (!raw.tools.empty() && record.tools.empty())
        return usage("--tools names no tool", "`vtrace list` names them");
    return ok();
}

Status check_diagnose(const RawOptions& raw, const ToolOptions& options, DiagnoseOptions& diagnose)
{
    if (!options.group.empty() && options.target.empty())
        return usage("--" + options.group + " selects nothing",
                     "give it a value; owners are told apart without it");
    if (auto checked = check_seconds("DURATION", raw.duration, kLeastDiagnosis, diagnose.duration);
        !checked)
        return checked;
    diagnose.limits_file = raw.rules;
    diagnose.explain = raw.explain;
    if (raw.fail_on.empty())
        return ok();
    diagnose.fail_on = severity_of(raw.fail_on);
    if (!diagnose.fail_on)
        return usage("--fail-on " + printable(raw.fail_on) + " is no severity",
                     "P0, P1, P2 and P3 are");
    return ok();
}

Status check_replay(const RawOptions& raw, ReplayOptions& replay)
{
    replay.file = raw.file;
    const auto time = [](const std::string& name, const std::string& text,
                         std::optional<RecordingTime>& to) -> Status {
        if (text.empty())
            return ok();
        to = parse_recording_time(text);
        if (!to)
            return usage(name + " " + printable(text) + " is no time",
                         "seconds from the start (30), or 2026-11-22T23:14:05Z");
        return ok();
    };
    if (auto checked = time("--from", raw.from, replay.from); !checked)
        return checked;
    return time("--to", raw.to, replay.to);
}

Status check_demo(const RawOptions& raw, DemoOptions& demo)
{
    if (raw.scenarios != raw.scenario.empty())
        return usage(raw.scenarios ? "--list takes no scenario" : "no scenario is named",
                     "`vtrace demo --list` names them");
    if (!raw.scenarios && find_scenario(raw.scenario) == nullptr)
        return usage("there is no scenario " + printable(raw.scenario),
                     "`vtrace demo --list` names them");
    demo.scenario = raw.scenario;
    if (auto checked = check_seconds("DURATION", raw.duration, kLeastDiagnosis, demo.duration);
        !checked)
        return checked;
    constexpr double kMost = 40; // its loads end after a minute
    if (demo.duration > kMost)
        return usage("DURATION " + printable(raw.duration) + " is too long for a demo",
                     fmt::format("at most {} s", kMost));
    return ok();
}

Status check_words(const std::vector<std::string>& words)
{
    if (words.empty())
        return usage("no tool is named", "`vtrace list` names the tools, --help the options");
    std::string_view before = "vtrace";
    for (const std::string& word : words) {
        if (auto checked = check_word(before, word); !checked)
            return checked;
        // What follows a target is a file there, not a value without its equals sign.
        before = words.front() == kCompare && word.starts_with("--") ? kCompare : word;
    }
    return check_first_word(words.front());
}

Status check_words_of_tool(const std::vector<std::string>& words)
{
    const auto named = std::ranges::find_if(
        words, [](const std::string& word) { return find_tool(word) != nullptr; });
    if (named == words.end() || (named != words.begin() && words.front() != kReport))
        return ok();
    const ToolSpec* tool = find_tool(*named);
    for (const std::string& word : words) {
        const std::string option = word.substr(0, word.find('='));
        const std::string_view without = option == "--pid" || option == "--comm"
                                             ? tool->without_tasks
                                             : (option == "--vm" ? tool->without_vms : "");
        if (!without.empty())
            return usage(std::string(tool->name) + " has no " + option, std::string(without));
    }
    return ok();
}

Status check_words_of_ps(const std::vector<std::string>& words)
{
    for (size_t i = 1; i < words.size(); i++) {
        if (words[i - 1] == "--watch" && std::isdigit(static_cast<unsigned char>(words[i][0])) != 0)
            return usage("unexpected " + printable(words[i]),
                         "the seconds go behind an equals sign: --watch=" + printable(words[i]));
    }
    return ok();
}

} // namespace vtrace
