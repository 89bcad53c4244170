// SPDX-License-Identifier: GPL-2.0-only
// The paths of packets through the devices of a host, put together from their hops.
#pragma once

#include "model/netq.h"

#include <cstddef>
#include <map>
#include <set>
#include <vector>

namespace vtrace {

struct PathStep {
    const NetHop* hop = nullptr;
    size_t depth = 0; // hops before it; 0: where its packets were seen first
};

struct NetPaths {
    std::vector<PathStep> steps; // each before what comes next; the most frequent first
    size_t left_out = 0;         // steps beyond those that a report has room for
};

// All paths of a snapshot, which must outlive it. A hop is known by its ends only: where the paths of several meet, what
// comes next is that of all of them.
class NetPathFinder {
public:
    explicit NetPathFinder(const NetqSnapshot& snapshot);

    // Those that lead from, to or through these devices.
    [[nodiscard]] NetPaths through(const std::set<NetDeviceId>& devices) const;

private:
    std::map<NetPoint, std::vector<const NetHop*>>
        next_; // by where they begin; NetPoint{}: seen first
    std::map<NetPoint, std::vector<NetPoint>> before_; // by where they end
    std::map<NetDeviceId, std::set<NetPoint>> ends_;   // of each device
};

} // namespace vtrace
