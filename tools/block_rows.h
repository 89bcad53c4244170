// SPDX-License-Identifier: GPL-2.0-only
// What reports about block I/O have in common.
#pragma once

#include "entity/entities.h"
#include "model/report.h"
#include "model/snapshot.h"
#include "tools/options.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace vtrace {

// Why a tool about block I/O has no --pid and no --comm.
inline constexpr std::string_view kOwnersInstead =
    "a request to a disk knows its cgroup, not its task; --cgroup=PATH and the like select";

// How many requests were in flight on average, by Little's law: the sum of their times for the time that went by.
Metric depth_of(const Histogram& total, uint64_t duration_ns);

class BlockRows {
public:
    // Both must outlive this.
    BlockRows(const Snapshot& snapshot, const ToolOptions& options);

    // The row of an owner; made at its first call. All that is left out of figures by cgroup is of the host.
    Row& row(const OwnerId& owner);
    [[nodiscard]] Entity entity(const OwnerId& owner) const;
    // Of one that samples saw.
    [[nodiscard]] bool asked_for(const OwnerId& owner) const;
    // Of a disk; its number if it has no known name, "any" of what found no room of its own.
    [[nodiscard]] std::string disk(uint32_t number) const;

    // Puts the rows into the report, worst first by the sum of their histograms, with the notes and the open
    // requests that all such reports have.
    void give_to(Report& report);

private:
    const Snapshot& snapshot_;
    Entities entities_;
    std::string kind_; // empty: the host is one row
    std::map<uint32_t, std::string> disks_;
    std::set<uint64_t> with_descendants_;
    std::map<std::string, size_t> known_;
    std::vector<Row> rows_;
};

} // namespace vtrace
