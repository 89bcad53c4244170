// SPDX-License-Identifier: GPL-2.0-only
// What the reports of several tools are put together of.
#pragma once

#include "entity/entities.h"
#include "model/report.h"
#include "model/snapshot.h"
#include "tools/options.h"

#include <string>
#include <string_view>

namespace vtrace {

// A report without rows: where and when, losses, costs.
Report empty_report(const Snapshot& snapshot, std::string_view tool, std::string title);

// The entity of a kind that an owner belongs to; threads of the kernel's own are of kind kernel.
Entity entity_of(const Entities& entities, const OwnerId& owner, const std::string& kind);

// Tells entities apart: the same text for all owners that belong to one.
std::string key_of(const Entity& entity);

// A row for each entity (without cgroups: the host) that has times about one thing, worst first.
void add_histograms(Report& report, const Snapshot& snapshot, const Entities& entities,
                    std::string_view about);

// The waits that have not ended, longest first.
void add_open(Report& report, const Snapshot& snapshot, const Entities& entities,
              const std::string& kind);

// A histogram of the row by its name; made at the first call.
Histogram& histogram_of(Row& row, std::string_view name);

// Counts the entities without a name; merges the rows beyond those asked for into one.
void finish(Report& report, const ToolOptions& options);

} // namespace vtrace
