// SPDX-License-Identifier: GPL-2.0-only
// The paths of packets through the devices of a host, put together from their hops.
#pragma once

#include "model/netq.h"

#include <cstddef>
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

// Those that lead from, to or through these devices. A hop is known by its ends only: where the paths of several meet,
// what comes next is that of all of them.
NetPaths paths_of(const NetqSnapshot& snapshot, const std::set<NetDeviceId>& devices);

} // namespace vtrace
