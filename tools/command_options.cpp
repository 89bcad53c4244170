// SPDX-License-Identifier: GPL-2.0-only
#include "tools/command_options.h"

#include <fmt/format.h>

#include <algorithm>

namespace vtrace {
namespace {

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
    sub->footer("\nMeasures CPU, memory, disks, network and VMs at once, and says what holds whom\n"
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
    sub->footer("\nEach is made of cgroups, network namespaces and a disk in memory that are its\n"
                "own and end with it, of at most 2 CPUs, 512 MiB and a minute. Needs root.\n"
                "\nExamples:\n"
                "  vtrace demo --list\n"
                "  vtrace demo cpu-neighbour\n"
                "  vtrace demo disk-limit --format json\n");
}

} // namespace

std::string flag_of(const TargetFlag& target)
{
    return "--" + std::string(target.kind);
}

std::vector<std::string> formats(const ToolSpec* tool)
{
    std::vector<std::string> names{"text", "json"};
    if (tool != nullptr && tool->folded != nullptr)
        names.emplace_back("folded");
    return names;
}

const ToolSpec* find_tool(std::string_view name)
{
    const auto found = std::ranges::find(tools(), name, &ToolSpec::name);
    return found == tools().end() ? nullptr : &*found;
}

Parser::Parser()
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
    ps->footer("\nCPUS and MEMORY are the own limits of each, THREADS how many it has; FROM is\n"
               "where its name was found. A narrow terminal leaves columns out.\n"
               "\nExamples:\n"
               "  vtrace ps\n"
               "  vtrace ps --watch=5\n"
               "  vtrace ps --format json | jq '.entities[] | select(.kind == \"pod\")'\n");
    completion = app.add_subcommand("completion", "Print a script for bash's completion");
    completion->footer("\nExample:\n  source <(vtrace completion)\n");
}

} // namespace vtrace
