// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/cgroup_limits.h"
#include "entity/vm_process.h"
#include "model/report.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// One entity as `vtrace ps` shows it.
struct PsRow {
    Entity entity;
    CgroupLimits limits;
    uint64_t threads = 0;
    std::vector<VmThread> vm_threads; // of a VM: all of them
    std::string source;
};

// What there is room for, in columns and lines.
struct Screen {
    size_t width = SIZE_MAX;
    size_t height = SIZE_MAX;
    bool operator==(const Screen&) const = default;
};

// A table of whole lines. Where it is too wide, paths and names are cut, then columns left out; where it
// is too high, the last line counts the rows that are left out.
std::string ps_table(const std::vector<PsRow>& rows, const Screen& screen);

// One document, on one line.
std::string ps_json(const std::vector<PsRow>& rows);

// Text drawn over what a terminal shows, as one write: it leaves the terminal's modes as they were.
std::string redrawn(std::string_view text);

} // namespace vtrace
