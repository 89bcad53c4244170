// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/cgroup_limits.h"
#include "model/snapshot.h"

#include <chrono>
#include <cstdint>
#include <string_view>
#include <unordered_map>

namespace vtrace {

// What the kernel counts of CPU quotas, from cpu.stat.
class QuotaCollector {
public:
    using Clock = std::chrono::steady_clock;

    // `target` is the root of the subtree to look at; 0 is all. `mountinfo` is the text of /proc/self/mountinfo.
    QuotaCollector(std::string_view mountinfo, uint64_t target);

    // The first window starts with the first call, for the cgroups known by then; those that come later are
    // new, and counted from nothing. What the kernel has counted of a cgroup goes with it, so that it is
    // looked at about once a second: of one that is removed the last look stays.
    void look(const CgroupFacts& cgroups);
    [[nodiscard]] bool look_is_due() const { return Clock::now() - looked_ >= kLookEvery; }

    // Adds what was counted since the last read to the snapshot, which has its cgroups already.
    void read(Snapshot& snapshot);

private:
    static constexpr auto kLookEvery = std::chrono::seconds(1);
    struct Known {
        std::optional<CpuQuota> quota;
        QuotaCounts counts;
        QuotaCounts reported;
        bool changed = false; // the quota, in this window
    };

    void look_at(uint64_t id, const std::string& path);

    LimitReader limits_;
    uint64_t target_;
    std::unordered_map<uint64_t, Known> known_;
    bool started_ = false;
    Clock::time_point looked_;
};

} // namespace vtrace
