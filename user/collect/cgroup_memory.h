// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/cgroup_limits.h"
#include "model/snapshot.h"

#include <cstdint>
#include <map>
#include <set>
#include <string_view>

namespace vtrace {

// What the kernel itself counts of the memory of the host and of cgroups, from memory.stat and the like.
class CgroupMemory {
public:
    // `target` is the root of the subtree to look at; 0 is all. `mountinfo` is the text of /proc/self/mountinfo.
    CgroupMemory(std::string_view mountinfo, uint64_t target);

    // Adds what came since the last read to the snapshot, which has its cgroups already. The first read starts the
    // first window; a cgroup that comes later is counted from nothing. Those of a cgroup go with it.
    void read(Snapshot& snapshot);

private:
    LimitReader limits_;
    uint64_t target_;
    bool started_ = false;
    std::set<uint64_t> known_; // cgroups at the last read, whether they were read or not
    MemoryCounts host_;
    std::map<uint64_t, MemoryCounts> before_; // by cgroup
};

} // namespace vtrace
