// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "demo/child.h"
#include "demo/demo_cgroup.h"
#include "demo/loop_disk.h"

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace vtrace {

// A bottleneck while it is there. All of it ends with this object, the processes first.
struct Running {
    DemoCgroups cgroups;
    std::optional<LoopDisk> disk;
    std::vector<Child> children; // in the order in which they were started
};

// A bottleneck that can be made on this machine, of at most 2 CPUs, 512 MiB and a minute.
struct Scenario {
    std::string_view name;
    std::string_view summary;
    std::string_view expected_rule; // of the first finding about it; empty: there is to be none
    Result<std::unique_ptr<Running>> (*start)(); // kNotPossible where it cannot be made
};

std::span<const Scenario> scenarios();

// Null if there is none of that name.
const Scenario* find_scenario(std::string_view name);

} // namespace vtrace
