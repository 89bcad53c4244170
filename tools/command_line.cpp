// SPDX-License-Identifier: GPL-2.0-only
#include "tools/command_line.h"

#include "base/files.h"
#include "base/printable.h"
#include "demo/scenario.h"
#include "tools/peer_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <string_view>

namespace vtrace {
namespace {

constexpr double kMinInterval = 0.01;
constexpr double kMaxInterval = 365 * 86400.0;
constexpr double kMinWatch = 0.1;
constexpr double kLeastDiagnosis = 0.5; // below it nothing happens often enough
constexpr double kMaxWatch = 86400;

// A flag that says what to group by; with a value it selects as well.
struct TargetFlag {
    std::string_view kind;
    std::string_view all; // stands for the flag without a value
    std::string_view grouped;
    std::string_view selected; // by its value
};

constexpr std::array kTargets = {
    TargetFlag{"vm", "*", "Group by VM", "=NAME, =UUID or =PID: only that one"},
    TargetFlag{"container", "*", "Group by container", "=NAME or =ID: only that one"},
    TargetFlag{"pod", "*", "Group by pod", "=NAMESPACE/NAME: only that one"},
    TargetFlag{"unit", "*", "Group by unit of systemd", "=NAME: only that one"},
    TargetFlag{"cgroup", "/", "Group by cgroup", "=PATH: only it and those below"},
};

std::string flag_of(const TargetFlag& target)
{
    return "--" + std::string(target.kind);
}

// Has the tools as subcommands of its own.
constexpr std::string_view kReport = "report";

// In `report`, too.
constexpr std::string_view kDiagnose = "diagnose";

// Takes files behind its options.
constexpr std::string_view kCompare = "compare";

// Has the names of scenarios behind it.
constexpr std::string_view kDemo = "demo";

// What takes the name of a disk, and the kind that such names are of.
constexpr std::string_view kDiskFlag = "--dev";
constexpr std::string_view kDisk = "disk";

// What CLI11 stores before it is checked.
struct RawOptions {
    std::array<std::string, kTargets.size()> targets;
    std::string interval;
    std::string count;
    std::string pid;
    std::string vcpu;
    std::string top;
    std::string slower;
    std::string min;
    std::string max;
    std::string by;
    std::string subnet;
    std::string format = "text";
    std::string watch;
    std::string every;
    std::string duration;
    std::string tools;
    std::string rules;
    std::string fail_on;
    bool explain = false;
    std::string file;
    std::vector<std::string> files;
    std::string from;
    std::string to;
    std::string scenario;
    bool scenarios = false;
};

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

Error usage(std::string what, std::string hint = "see --help")
{
    return {.what = std::move(what), .hint = std::move(hint), .exit = ExitCode::kUsage};
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

std::vector<std::string> formats(const ToolSpec* tool)
{
    std::vector<std::string> names{"text", "json"};
    if (tool != nullptr && tool->folded != nullptr)
        names.emplace_back("folded");
    return names;
}

void add_output_options(CLI::App& app, const ToolSpec& tool, RawOptions& raw, ToolOptions& options)
{
    app.add_option("--top", raw.top, "Rows to show (text: 20, JSON: all)")->type_name("N");
    app.add_option("--format", raw.format,
                   tool.folded != nullptr
                       ? "json: one document per report and line; folded: for flame graphs"
                       : "json: one document per report and line")
        ->type_name("FORMAT")
        ->check(CLI::IsMember(formats(&tool)));
    app.add_option("--output", options.output, "Write to FILE instead of stdout")
        ->type_name("FILE");
    app.add_flag("--timestamp", options.timestamp, "Print the time before each report");
    app.add_flag("--overhead", options.overhead, "Show what vtrace itself costs");
    app.add_flag("--include-self", options.include_self, "Count vtrace's own threads, too");
    app.add_flag("--verbose", options.verbose, "Say more on stderr");
}

std::string help_of(const TargetFlag& target, bool with_group)
{
    const std::string group = with_group ? std::string(target.grouped) + "; " : "";
    return group + std::string(target.selected);
}

// Flags, so that the next word is never taken for their value.
void add_targets(CLI::App& app, bool with_groups, bool with_vms, RawOptions& raw)
{
    for (size_t i = 0; i < kTargets.size(); i++) {
        if (with_vms || kTargets[i].kind != "vm")
            app.add_flag(flag_of(kTargets[i]), raw.targets[i], help_of(kTargets[i], with_groups));
    }
}

// What says what of the events is meant, but for single ones.
CLI::App* add_tool(CLI::App& app, const ToolSpec& tool, RawOptions& raw, ToolOptions& options)
{
    CLI::App* sub = app.add_subcommand(std::string(tool.name), std::string(tool.summary));
    sub->footer("\n" + std::string(tool.details) + "\n\nExamples:\n" + std::string(tool.examples));
    add_targets(*sub, true, tool.without_vms.empty(), raw);
    if (tool.without_tasks.empty()) {
        sub->add_option("--pid", raw.pid, "Only the threads of process PID")->type_name("PID");
        sub->add_option("--comm", options.comm, "Only tasks whose name matches GLOB")
            ->type_name("GLOB");
    }
    if (tool.peers) {
        sub->add_option("--by", raw.by, "Peers by remote, local, port (default: remote,port)")
            ->type_name("LIST");
        sub->add_option("--subnet", raw.subnet, "Only N bits of IPv4 addresses, M of IPv6")
            ->type_name("N[,M]");
    }
    if (tool.disks)
        sub->add_option(std::string(kDiskFlag), options.device,
                        "Only the disk DISK: sda, 8:0 or /dev/sda1")
            ->type_name("DISK");
    if (tool.block_times) {
        sub->add_option("--min", raw.min, "Only times of at least MS milliseconds (default: 1)")
            ->type_name("MS");
        sub->add_option("--max", raw.max, "Only times of at most MS milliseconds")->type_name("MS");
    }
    if (tool.vcpus)
        sub->add_option("--vcpu", raw.vcpu, "Only vCPU number N of each VM")->type_name("N");
    for (const ToolFlag& flag : tool.flags)
        sub->add_flag(std::string(flag.name), options.*flag.value, std::string(flag.help));
    add_output_options(*sub, tool, raw, options);
    return sub;
}

// What there is of a tool that measures now.
void add_live_tool(CLI::App& app, const ToolSpec& tool, RawOptions& raw, ToolOptions& options)
{
    CLI::App* sub = add_tool(app, tool, raw, options);
    const std::string_view single = tool.single_waits      ? "wait"
                                    : tool.single_requests ? "request"
                                    : tool.single_sessions ? "session"
                                                           : "";
    if (!single.empty()) {
        sub->add_option("--slower", raw.slower,
                        fmt::format("Print each {} above MS milliseconds as it ends", single))
            ->type_name("MS");
    }
    sub->add_option("--record", options.record, "Keep what is measured in FILE: vtrace report")
        ->type_name("FILE");
    sub->add_option("INTERVAL", raw.interval, "Seconds per report (default: until Ctrl-C)")
        ->type_name("");
    sub->add_option("COUNT", raw.count, "Number of reports (default: without end)")->type_name("");
}

void add_record(CLI::App& app, RawOptions& raw, ToolOptions& options)
{
    CLI::App* sub = app.add_subcommand("record", "Record what the tools measure, for later");
    add_targets(*sub, false, true, raw);
    sub->add_option("-o,--output", options.output, "The file (default: vtrace-HOST-TIME.rec)")
        ->type_name("FILE");
    sub->add_option("--interval", raw.every, "Seconds between snapshots (default: 1)")
        ->type_name("S");
    sub->add_option("--tools", raw.tools, "Only for these (default: all but offcputime)")
        ->type_name("LIST");
    sub->add_flag("--include-self", options.include_self, "Count vtrace's own threads, too");
    sub->add_flag("--overhead", options.overhead, "Record what vtrace itself costs");
    sub->add_flag("--verbose", options.verbose, "Say more on stderr");
    sub->add_option("DURATION", raw.duration, "Seconds (default: until Ctrl-C)")->type_name("");
    sub->footer("\nMeasures for all tools at once, for the target or the whole host, and writes a\n"
                "snapshot at each interval. The file is compressed and has checksums; whatever\n"
                "ends the recording, it is readable to its last interval. `vtrace report` shows\n"
                "what any tool would have, on any machine and without root.\n"
                "\nExamples:\n"
                "  vtrace record 60                     the whole host, for a minute\n"
                "  vtrace record --container=web -o web.rec 60\n"
                "  vtrace record --tools=runqlat,biolatency --interval 10\n");
}

// What a diagnosis has whether it is of a recording or not.
CLI::App* add_diagnosis(CLI::App& app, RawOptions& raw, ToolOptions& options)
{
    CLI::App* sub = app.add_subcommand(std::string(kDiagnose),
                                       "Say what the bottleneck is, whose, and the remedy");
    sub->add_flag("--explain", raw.explain, "Where the time of each owner went, too, as a tree");
    sub->add_option("--rules", raw.rules, "Other limits of the rules, from a TOML file")
        ->type_name("FILE");
    sub->add_option("--fail-on", raw.fail_on, "Exit code 4 if something as bad is found: P0 to P3")
        ->type_name("P");
    sub->add_option("--format", raw.format, "text or json")
        ->type_name("FORMAT")
        ->check(CLI::IsMember(formats(nullptr)));
    sub->add_option("--output", options.output, "Write to FILE instead of stdout")
        ->type_name("FILE");
    return sub;
}

void add_diagnose(CLI::App& app, RawOptions& raw, ToolOptions& options)
{
    CLI::App* sub = add_diagnosis(app, raw, options);
    add_targets(*sub, false, true, raw);
    sub->add_option("--record", options.record, "Keep what is measured in FILE: vtrace report")
        ->type_name("FILE");
    sub->add_flag("--include-self", options.include_self, "Count vtrace's own threads, too");
    sub->add_flag("--verbose", options.verbose, "Say more on stderr");
    sub->add_option("DURATION", raw.duration, "Seconds (default: 10)")->type_name("");
    sub->footer(
        "\nMeasures CPU, memory, disks, network and VMs at once, and says what holds whom\n"
        "up, the worst first: P0 takes nearly all of an owner's time, P1 a large part, P2\n"
        "what users notice, P3 is worth to know. Nothing is said that was not measured in\n"
        "this time; nothing on the host is changed. The exit code is 0 unless --fail-on\n"
        "is given. `vtrace rules` lists what is looked for, and from where on.\n"
        "\nExamples:\n"
        "  vtrace diagnose                      the whole host, for 10 s\n"
        "  vtrace diagnose --container=web 30   one container\n"
        "  vtrace diagnose --explain --format json 5\n"
        "  vtrace diagnose --record incident.rec      to look at it again later\n"
        "  vtrace diagnose --fail-on P1 || echo 'somebody suffers'\n"
        "  vtrace report night.rec diagnose     each interval of a recording\n");
}

void add_rules(CLI::App& app, RawOptions& raw, ToolOptions& options)
{
    CLI::App* sub = app.add_subcommand("rules", "List what diagnose looks for, and its limits");
    sub->add_option("--rules", raw.rules, "With other limits, from a TOML file")->type_name("FILE");
    sub->add_option("--format", raw.format, "text or json")
        ->type_name("FORMAT")
        ->check(CLI::IsMember(formats(nullptr)));
    sub->add_option("--output", options.output, "Write to FILE instead of stdout")
        ->type_name("FILE");
    sub->footer("\nA file with other limits has a table for each rule, and in it p0 to p3, and\n"
                "how many events there have to be at least:\n"
                "  [cpu-throttled]\n"
                "  p2 = 0.2\n"
                "  least = 50\n"
                "\nExamples:\n"
                "  vtrace rules\n"
                "  vtrace rules --rules ours.toml\n"
                "  vtrace rules --format json | jq '.rules[].rule'\n");
}

void add_report(CLI::App& app, RawOptions& raw, ToolOptions& options)
{
    CLI::App* sub =
        app.add_subcommand(std::string(kReport), "Show what is in a recording, by any tool");
    sub->add_option("FILE", raw.file, "The recording")->type_name("")->required();
    sub->add_option("--from", raw.from, "Only intervals that end after TIME")->type_name("TIME");
    sub->add_option("--to", raw.to, "Only intervals that begin before TIME")->type_name("TIME");
    sub->add_option("--format", raw.format, "text or json")
        ->type_name("FORMAT")
        ->check(CLI::IsMember(formats(nullptr)));
    sub->add_option("--output", options.output, "Write to FILE instead of stdout")
        ->type_name("FILE");
    sub->require_subcommand(0, 1);
    for (const ToolSpec& tool : tools())
        add_tool(*sub, tool, raw, options)->fallthrough();
    CLI::App* diagnosis = add_diagnosis(*sub, raw, options);
    diagnosis->fallthrough();
    diagnosis->footer(
        "\nAs `vtrace diagnose`, of each interval. What was found in the interval before\n"
        "stays until it is well below its limit.\n"
        "\nExample:\n"
        "  vtrace report night.rec --from 60 --to 120 diagnose\n");
    sub->footer(
        "\nTIME is in seconds from the start (30, 12.5), or a time as 2026-11-22T23:14:05Z.\n"
        "Without a tool: what was recorded, and when. Options of a tool go behind its\n"
        "name; those that say what to measure have to be as they were.\n"
        "\nExamples:\n"
        "  vtrace report web.rec\n"
        "  vtrace report web.rec runqlat --container\n"
        "  vtrace report web.rec --from 20 --to 40 biolatency --format json\n");
}

void add_compare(CLI::App& app, RawOptions& raw, ToolOptions& options)
{
    CLI::App* sub = app.add_subcommand(std::string(kCompare), "Hold recordings against each other");
    sub->add_option("FILES", raw.files, "Recordings; all others are held against the first")
        ->type_name("")
        ->required();
    add_targets(*sub, true, true, raw);
    sub->add_option("--from", raw.from, "Only intervals that end after TIME, of each")
        ->type_name("TIME");
    sub->add_option("--to", raw.to, "Only intervals that begin before TIME")->type_name("TIME");
    sub->add_option("--top", raw.top, "Entities to show (text: 20, JSON: all)")->type_name("N");
    sub->add_option("--format", raw.format, "text or json")
        ->type_name("FORMAT")
        ->check(CLI::IsMember(formats(nullptr)));
    sub->add_option("--output", options.output, "Write to FILE instead of stdout")
        ->type_name("FILE");
    sub->footer(
        "\nOf each metric the median of the intervals, the difference, and between what it\n"
        "is for sure: 95 % for all metrics together, by ranks (Hodges-Lehmann). Did it\n"
        "get worse: same, if all of that is within 5 %; worse or better, if 0 is not in\n"
        "it; else nobody can tell. Trend, within a recording: its halves differ by over\n"
        "5 %, and its slope (Theil-Sen) is that way for sure. Of one recording only\n"
        "trends.\n"
        "Below 5 intervals nothing is said, with 20 and more much can be.\n"
        "\nWithout a target: all that was recorded, so that a container can be held against\n"
        "a VM if each was recorded alone. With one: entities of the same name.\n"
        "\nExamples:\n"
        "  vtrace compare before.rec after.rec\n"
        "  vtrace compare native.rec container.rec vm.rec --from 10\n"
        "  vtrace compare before.rec after.rec --container\n"
        "  vtrace compare a.rec b.rec --format json | jq '.compare.rows[0].got_worse'\n");
}

void add_demo(CLI::App& app, RawOptions& raw, ToolOptions& options)
{
    CLI::App* sub =
        app.add_subcommand(std::string(kDemo), "Make a bottleneck here, and diagnose it");
    sub->add_option("SCENARIO", raw.scenario, "Which one")->type_name("");
    sub->add_option("DURATION", raw.duration, "Seconds of the diagnosis (default: 10)")
        ->type_name("");
    sub->add_flag("--list", raw.scenarios, "Name the scenarios");
    sub->add_option("--format", raw.format, "text or json")
        ->type_name("FORMAT")
        ->check(CLI::IsMember(formats(nullptr)));
    sub->add_option("--output", options.output, "Write the diagnosis to FILE instead of stdout")
        ->type_name("FILE");
    sub->add_flag("--verbose", options.verbose, "Say more on stderr");
    sub->footer(
        "\nEach is made of cgroups, network namespaces and a disk in memory that are its\n"
        "own and end with it, of at most 2 CPUs, 512 MiB and a minute. Needs root.\n"
        "\nExamples:\n"
        "  vtrace demo --list\n"
        "  vtrace demo cpu-neighbour\n"
        "  vtrace demo disk-limit --format json\n");
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

// The kind of the rows, unless it was given, is the tool's.
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

// `ps --watch` stands for the usual seconds; others come behind an equals sign, as the targets' values.
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

const ToolSpec* find_tool(std::string_view name)
{
    const auto found = std::ranges::find(tools(), name, &ToolSpec::name);
    return found == tools().end() ? nullptr : &*found;
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

// What other tools have, and why this one does not.
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

struct Parser {
    CLI::App app{"vtrace: where the time of VMs and containers goes, from the kernel itself"};
    RawOptions raw;
    Command command;
    CLI::App* list = nullptr;
    CLI::App* check = nullptr;
    CLI::App* ps = nullptr;
    CLI::App* completion = nullptr;

    Parser()
    {
        app.name("vtrace");
        app.set_version_flag("--version", "vtrace " VTRACE_VERSION);
        app.require_subcommand(1);
        app.get_formatter()->column_width(28);
        app.footer("\nExamples:\n"
                   "  vtrace runqlat --cgroup 1 3      who waits for a CPU, per cgroup\n"
                   "  vtrace runqlat --container 1     the same per container\n"
                   "  vtrace diagnose                  what the bottleneck is, and whose\n"
                   "  vtrace record 60                 all tools at once, for a report later\n"
                   "  vtrace ps                        VMs, pods, containers and units here\n"
                   "  vtrace check                     what this kernel offers\n"
                   "  vtrace demo cpu-neighbour        a bottleneck, made here and diagnosed\n"
                   "  vtrace TOOL --help               options, limits and examples of a tool\n"
                   "\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 not possible\n"
                   "here, 4 found what --fail-on names\n");
        for (const ToolSpec& tool : tools())
            add_live_tool(app, tool, raw, command.options);
        add_record(app, raw, command.options);
        add_report(app, raw, command.options);
        add_compare(app, raw, command.options);
        add_diagnose(app, raw, command.options);
        add_rules(app, raw, command.options);
        add_demo(app, raw, command.options);
        list = app.add_subcommand("list", "List the tools");
        check = app.add_subcommand("check", "Say what this kernel and these privileges offer");
        ps = app.add_subcommand("ps", "List VMs, pods, containers and units");
        for (CLI::App* sub : {list, check, ps})
            sub->add_option("--format", raw.format, "Form of the output")
                ->type_name("FORMAT")
                ->check(CLI::IsMember(formats(nullptr)));
        ps->add_flag("--watch", raw.watch, "Again every 2 s, or =SECONDS, until Ctrl-C");
        list->footer("\nExample:\n  vtrace list --format json\n");
        check->footer("\nExample:\n  vtrace check\n");
        ps->footer(
            "\nCPUS and MEMORY are the own limits of each, THREADS how many it has; FROM is\n"
            "where its name was found. A narrow terminal leaves columns out.\n"
            "\nExamples:\n"
            "  vtrace ps\n"
            "  vtrace ps --watch=5\n"
            "  vtrace ps --format json | jq '.entities[] | select(.kind == \"pod\")'\n");
        completion = app.add_subcommand("completion", "Print a script for bash's completion");
        completion->footer("\nExample:\n  source <(vtrace completion)\n");
    }
};

// One line of what may be several.
std::string first_line(const std::string& text)
{
    return text.substr(0, text.find('\n'));
}

const CLI::App* find_subcommand(const CLI::App& app, const std::string& name)
{
    for (const CLI::App* sub : app.get_subcommands({})) {
        if (sub->get_name() == name)
            return sub;
    }
    return nullptr;
}

// A name as a shell's word. Anything else than these could mean something to it.
std::string escaped(const std::string& name)
{
    constexpr std::string_view kPlain = "_-./@%+,:=";
    std::string word;
    for (const char c : name) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x80 && std::isalnum(byte) == 0 && kPlain.find(c) == std::string_view::npos)
            word += '\\';
        word += c;
    }
    return word;
}

// A word with its escapes undone. Nothing for one in quotes: there a shell has other rules.
std::optional<std::string> unescaped(const std::string& word)
{
    std::string name;
    for (size_t i = 0; i < word.size(); i++) {
        if (word[i] == '\'' || word[i] == '"' || word[i] == '$' || word[i] == '`')
            return std::nullopt;
        if (word[i] == '\\' && ++i == word.size())
            return std::nullopt;
        name += word[i];
    }
    return name;
}

// What `word`, which begins with `option`, can be with each name of this kind that is known.
std::vector<std::string> with_names(const std::string& option, std::string_view kind,
                                    const std::string& word, const KnownNames& known)
{
    const auto typed = unescaped(word.substr(option.size()));
    if (!typed)
        return {};
    std::set<std::string> words; // names may be the same
    for (const std::string& name : known(std::string(kind), *typed)) {
        if (!name.empty() && printable(name) == name)
            words.insert(option + escaped(name));
    }
    return {words.begin(), words.end()};
}

// Of the innermost subcommand that is named.
std::string help_text(const CLI::App& app)
{
    std::string before;
    const CLI::App* of = &app;
    for (auto chosen = of->get_subcommands(); !chosen.empty(); chosen = of->get_subcommands()) {
        before += (before.empty() ? "" : " ") + of->get_name();
        of = chosen.front();
    }
    return of->help(before);
}

bool takes_value(const CLI::App& app, const std::string& word)
{
    const CLI::Option* option = app.get_option_no_throw(word);
    return option != nullptr && option->get_expected_min() > 0;
}

// What may stand behind `before` in place of `word`.
std::vector<std::string> words_of(const CLI::App& sub, const std::string& before,
                                  const std::string& word, const KnownNames& known)
{
    const ToolSpec* tool = find_tool(sub.get_name());
    if (before == "--format")
        return formats(tool);
    if (before == kDiskFlag && takes_value(sub, before))
        return with_names("", kDisk, word, known);
    if (takes_value(sub, before))
        return {};
    if (word.starts_with("--format=")) {
        std::vector<std::string> words = formats(tool);
        for (std::string& format : words)
            format.insert(0, "--format=");
        return words;
    }
    for (const TargetFlag& target : kTargets) {
        const std::string flag = flag_of(target);
        if (word.starts_with(flag + "=") && sub.get_option_no_throw(flag) != nullptr)
            return with_names(flag + "=", target.kind, word, known);
    }
    const std::string disk = std::string(kDiskFlag) + "=";
    if (word.starts_with(disk) && takes_value(sub, std::string(kDiskFlag)))
        return with_names(disk, kDisk, word, known);
    std::vector<std::string> options;
    for (const CLI::Option* option : sub.get_options()) {
        for (const std::string& name : option->get_lnames())
            options.push_back("--" + name);
    }
    for (const CLI::App* nested : sub.get_subcommands({}))
        options.push_back(nested->get_name());
    if (sub.get_name() == kDemo) {
        for (const Scenario& scenario : scenarios())
            options.emplace_back(scenario.name);
    }
    return options;
}

} // namespace

Result<Command> parse_command_line(int argc, const char* const* argv)
{
    std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
    if (auto checked = check_words(words); !checked)
        return checked.error();
    if (auto checked = check_words_of_tool(words); !checked)
        return checked.error();
    // A flag without a value must be told from every value.
    for (const TargetFlag& target : kTargets)
        std::ranges::replace(words, flag_of(target),
                             flag_of(target) + "=" + std::string(target.all));
    if (words.front() == "ps") {
        if (auto checked = check_words_of_ps(words); !checked)
            return checked.error();
        std::ranges::replace(words, "--watch", "--watch=2");
    }
    std::ranges::reverse(words); // as CLI11 takes them
    Parser parser;
    Command& command = parser.command;
    // CLI11 reports by exceptions; they end here.
    try {
        parser.app.parse(words);
    } catch (const CLI::CallForVersion& version) {
        command.text = std::string(version.what()) + "\n";
        return std::move(command);
    } catch (const CLI::CallForHelp&) {
        command.text = help_text(parser.app);
        return std::move(command);
    } catch (const CLI::ParseError& error) {
        return usage(printable(first_line(error.what())));
    }
    if (auto checked = check_options(parser.raw, command.options); !checked)
        return checked.error();
    if (auto checked = check_watch(parser.raw, command.ps_watch); !checked)
        return checked.error();
    command.list = parser.list->parsed();
    command.check = parser.check->parsed();
    command.ps = parser.ps->parsed();
    command.completion = parser.completion->parsed();
    if (parser.app.got_subcommand("record")) {
        auto checked = check_record(parser.raw, command.options, command.record.emplace());
        if (!checked)
            return checked.error();
    }
    if (parser.app.got_subcommand(std::string(kDemo))) {
        auto checked = check_demo(parser.raw, command.demo.emplace());
        if (!checked)
            return checked.error();
    }
    const bool report = parser.app.got_subcommand(std::string(kReport));
    if (report) {
        auto checked = check_replay(parser.raw, command.replay.emplace());
        if (!checked)
            return checked.error();
    }
    if (parser.app.got_subcommand(std::string(kCompare))) {
        CompareOptions& compare = command.compare.emplace();
        compare.files = parser.raw.files;
        if (auto checked = check_replay(parser.raw, compare.part); !checked)
            return checked.error();
    }
    if (parser.app.got_subcommand("rules"))
        command.rules = parser.raw.rules;
    const CLI::App& app = report ? *parser.app.get_subcommand(std::string(kReport)) : parser.app;
    if (app.got_subcommand(std::string(kDiagnose))) {
        auto checked = check_diagnose(parser.raw, command.options, command.diagnose.emplace());
        if (!checked)
            return checked.error();
    }
    for (const ToolSpec& tool : tools()) {
        if (!app.got_subcommand(std::string(tool.name)))
            continue;
        command.tool = &tool;
        if (auto checked = check_group(tool, command.options); !checked)
            return checked.error();
    }
    return std::move(command);
}

std::string complete(const std::vector<std::string>& words, const KnownNames& known)
{
    Parser parser;
    const std::string last = words.empty() ? "" : words.back();
    std::vector<std::string> candidates;
    if (words.size() <= 1) {
        for (const CLI::App* sub : parser.app.get_subcommands({}))
            candidates.push_back(sub->get_name());
        candidates.insert(candidates.end(), {"--help", "--version"});
    } else if (const CLI::App* sub = find_subcommand(parser.app, words.front())) {
        for (const std::string& word : words) {
            if (words.front() == kReport && find_subcommand(*sub, word) != nullptr)
                sub = find_subcommand(*sub, word);
        }
        candidates = words_of(*sub, words[words.size() - 2], last, known);
    }
    std::string text;
    for (const std::string& candidate : candidates) {
        if (candidate.starts_with(last))
            text += candidate + "\n";
    }
    return text;
}

std::string_view bash_completion()
{
    return R"(# bash completion for vtrace: source <(vtrace completion)
_vtrace()
{
    local rest=${COMP_LINE:0:COMP_POINT} words=() space word i
    COMPREPLY=()
    # Bash splits at = and : as well: what has no space before it belongs to the word before.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        space=${rest%%[![:space:]]*}
        rest=${rest#"$space"}
        word=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || word=$rest
        if [[ $i -gt 0 && ! $space ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
        rest=${rest#"$word"}
    done
    ((${#words[@]} > 1)) || return
    word=${words[-1]}
    if [[ ${words[-2]} == --output || $word == --output=* || ${words[-2]} == -o ||
          ${words[-2]} == --record || $word == --record=* ||
          ( ${words[1]} == report && ${#words[@]} -eq 3 ) ||
          ( ${words[1]} == compare && $word != -* && ${words[-2]} != --* ) ]]; then
        compopt -o default
        return
    fi
    # What is before the part that readline replaces is not to be repeated.
    [[ $word == *"$2" ]] || return
    while IFS= read -r rest; do
        COMPREPLY+=("${rest:${#word}-${#2}}")
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    # One with others below it is not the end of a path.
    [[ ${COMPREPLY[0]-} != */ ]] || compopt -o nospace
}
complete -F _vtrace vtrace
)";
}

} // namespace vtrace
