// SPDX-License-Identifier: GPL-2.0-only
// The commands, their options and help. What is given is checked elsewhere (tools/option_checks.h).
#pragma once

#include "base/result.h"
#include "tools/command_line.h"

#include <CLI/CLI.hpp>

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// A flag that says what to group by; with a value it selects as well.
struct TargetFlag {
    std::string_view kind;
    std::string_view all; // stands for the flag without a value
    std::string_view grouped;
    std::string_view selected; // by its value
};

inline constexpr std::array kTargets = {
    TargetFlag{"vm", "*", "Group by VM", "=NAME, =UUID or =PID: only that one"},
    TargetFlag{"container", "*", "Group by container", "=NAME or =ID: only that one"},
    TargetFlag{"pod", "*", "Group by pod", "=NAMESPACE/NAME: only that one"},
    TargetFlag{"unit", "*", "Group by unit of systemd", "=NAME: only that one"},
    TargetFlag{"cgroup", "/", "Group by cgroup", "=PATH: only it and those below"},
};

// With its dashes.
std::string flag_of(const TargetFlag& target);

// Has the tools as subcommands of its own.
inline constexpr std::string_view kReport = "report";

// In `report`, too.
inline constexpr std::string_view kDiagnose = "diagnose";

// Takes files behind its options.
inline constexpr std::string_view kCompare = "compare";

// Has the names of scenarios behind it.
inline constexpr std::string_view kDemo = "demo";

// What takes the name of a disk, and the kind that such names are of.
inline constexpr std::string_view kDiskFlag = "--dev";
inline constexpr std::string_view kDisk = "disk";

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

// What --format can be of a tool, or (null) of anything else.
std::vector<std::string> formats(const ToolSpec* tool);

// Null if there is none of that name.
const ToolSpec* find_tool(std::string_view name);

// All commands with their options and help; what is parsed is stored in it, unchecked.
struct Parser {
    CLI::App app{"vtrace: where the time of VMs and containers goes, from the kernel itself"};
    RawOptions raw;
    Command command;
    CLI::App* list = nullptr;
    CLI::App* check = nullptr;
    CLI::App* ps = nullptr;
    CLI::App* completion = nullptr;

    Parser();
};

} // namespace vtrace
