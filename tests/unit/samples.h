// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "model/snapshot.h"
#include "tools/options.h"
#include "tools/registry.h"

#include <string>
#include <utility>
#include <vector>

namespace vtrace::test {

const ToolSpec& tool(std::string_view name);

// A histogram of `count` values each.
Histogram histogram(const std::vector<std::pair<uint64_t, uint64_t>>& values_and_counts);

// Waits of a cgroup; 0 is what is in none.
OwnerTime waits(uint64_t cgroup_id, Histogram time);

// Those of no cgroup in a snapshot, empty if there are none.
Histogram rest_of(const Snapshot& snapshot);

// One of each kind of thing that a report shows. Names in snapshots are raw bytes.
Snapshot host_snapshot();
Snapshot grouped_snapshot();
Snapshot empty_snapshot(bool by_cgroup);
Snapshot lossy_snapshot();
Snapshot waiting_snapshot();
Snapshot hostile_snapshot();
Snapshot huge_snapshot(); // the largest figures that months on a large host can give

// All of the above, by name.
std::vector<std::pair<std::string, Snapshot>> all_snapshots();

// Of a metric; -1 if the row has none of that name.
double value(const Row& row, const std::string& name);

Report report_of(const Snapshot& snapshot, const ToolOptions& options = {});

} // namespace vtrace::test
