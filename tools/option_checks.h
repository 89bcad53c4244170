// SPDX-License-Identifier: GPL-2.0-only
// What is given on the command line, checked: each fails with kUsage and one line.
#pragma once

#include "base/result.h"
#include "tools/command_options.h"

#include <string>
#include <vector>

namespace vtrace {

// What was given is wrong: kUsage.
Error usage(std::string what, std::string hint = "see --help");

// All words, before they are parsed: what CLI11 would accept or describe badly.
Status check_words(const std::vector<std::string>& words);

// What other tools have, and why this one does not.
Status check_words_of_tool(const std::vector<std::string>& words);

Status check_words_of_ps(const std::vector<std::string>& words);

// What commands have in common.
Status check_options(const RawOptions& raw, ToolOptions& options);

// The kind of the rows, unless it was given, is the tool's.
Status check_group(const ToolSpec& tool, ToolOptions& options);

// `ps --watch` stands for the usual seconds; others come behind an equals sign, as the targets' values.
Status check_watch(const RawOptions& raw, double& seconds);

// The rest of what was given to one command.
Status check_record(const RawOptions& raw, const ToolOptions& options, RecordOptions& record);
Status check_diagnose(const RawOptions& raw, const ToolOptions& options, DiagnoseOptions& diagnose);
Status check_replay(const RawOptions& raw, ReplayOptions& replay);
Status check_demo(const RawOptions& raw, DemoOptions& demo);

} // namespace vtrace
