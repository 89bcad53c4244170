// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "model/snapshot.h"
#include "tools/options.h"

#include <span>
#include <string_view>

namespace vtrace {

// A tool: one question, answered from the Snapshot of the collectors.
struct ToolSpec {
    std::string_view name;
    std::string_view summary;  // one line
    std::string_view details;  // what it measures, how, and its limits
    std::string_view examples; // lines for --help
    Report (*build)(const Snapshot&, const ToolOptions&);
};

// Every measuring tool, in the order of `vtrace list`.
std::span<const ToolSpec> tools();

} // namespace vtrace
