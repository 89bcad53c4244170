// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "demo/loads.h"
#include "demo/scenario.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vtrace {

// What a scenario is made of.
struct StageCgroup {
    std::string name;
    DemoLimits limits; // of reads: of the stage's disk
};

struct StageLoad {
    std::string name;   // comm
    std::string cgroup; // one of the stage's
    Load load;
    std::optional<int> cpu = std::nullopt; // only on this one
};

struct Stage {
    std::vector<StageCgroup> cgroups;
    std::vector<StageLoad> loads;                // started in this order
    std::optional<uint64_t> disk = std::nullopt; // bytes
    std::string scheduler;                       // of the disk
};

// Makes all of it; on an error nothing stays.
Result<std::unique_ptr<Running>> start(const Stage& stage);

// The CPU that loads are pinned to: the last of those that this process may use.
int demo_cpu();

} // namespace vtrace
