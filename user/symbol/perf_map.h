// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/fd.h"
#include "symbol/symbol_table.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vtrace {

// The functions that a process has compiled at run time, from the text of its /tmp/perf-PID.map: lines
// "START SIZE NAME". What comes later replaces what was there. A line that is not one is left out.
SymbolTable parse_perf_map(std::string_view text);

// The number that a process has in its own PID namespace, from the text of /proc/PID/status.
std::optional<uint32_t> innermost_pid(std::string_view status);

// The file of a process, in its mount namespace; none if it has none, or it is of another user than the
// process and root: anyone can write to /tmp.
Fd open_perf_map(uint32_t pid);

// Its text; of one that is larger than any program's, the last part.
std::string read_perf_map(const Fd& map);

} // namespace vtrace
