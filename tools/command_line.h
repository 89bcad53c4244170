// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "tools/compare.h"
#include "tools/demo.h"
#include "tools/diagnose.h"
#include "tools/options.h"
#include "tools/record.h"
#include "tools/registry.h"
#include "tools/replay.h"

#include <optional>
#include <string>

namespace vtrace {

// The command line, parsed. Exactly one of the members says what to do; a replay may be of a tool or a
// diagnosis.
struct Command {
    const ToolSpec* tool = nullptr;
    std::optional<RecordOptions> record;
    std::optional<ReplayOptions> replay;
    std::optional<CompareOptions> compare;
    std::optional<DiagnoseOptions> diagnose; // of a replay, if there is one
    std::optional<std::string> rules;        // `vtrace rules`: the file with other limits, or none
    std::optional<DemoOptions> demo;
    bool list = false;
    bool check = false;
    bool ps = false;
    double ps_watch = 0; // seconds between tables; 0 is one table
    bool completion = false;
    std::optional<std::string> text; // --help and --version: to print and be done
    ToolOptions options;
};

// Fails with kUsage and one line.
Result<Command> parse_command_line(int argc, const char* const* argv);

} // namespace vtrace
