// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/cgroup_limits.h"
#include "entity/memory_counts.h"
#include "model/snapshot.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

namespace vtrace {

// What the host's memory management does to VMs, from /proc and their cgroups.
class VmMemory {
public:
    // `mountinfo` is the text of /proc/self/mountinfo.
    explicit VmMemory(std::string_view mountinfo) : limits_(mountinfo) {}

    // Adds what came since the last read to the snapshot, which has its cgroups and entities already. A VM's
    // first window starts with the first read that knows it.
    void read(Snapshot& snapshot);

private:
    struct Counts {
        ProcessMemory process;
        std::optional<MemoryCounts> cgroup;
    };

    LimitReader limits_;
    std::map<uint64_t, Counts> before_; // by VM
};

} // namespace vtrace
