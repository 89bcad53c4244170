// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "tools/options.h"
#include "tools/registry.h"

#include <CLI/CLI.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vtrace {

// The command line, parsed. Exactly one of the members says what to do.
struct Command {
    const ToolSpec* tool = nullptr;
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

// Candidates for the last of `words` (the words behind `vtrace`), one per line.
std::string complete(const std::vector<std::string>& words);

// The script that asks `vtrace __complete`.
std::string_view bash_completion();

} // namespace vtrace
