// SPDX-License-Identifier: GPL-2.0-only
// What the reports of several tools are put together of.
#pragma once

#include "entity/entities.h"
#include "model/report.h"
#include "model/report_values.h"
#include "model/snapshot.h"
#include "tools/options.h"

#include <string>
#include <string_view>

namespace vtrace {

// A report without rows: where and when, losses, costs.
Report empty_report(const Snapshot& snapshot, std::string_view tool, std::string title);

// The entity of a kind that an owner belongs to; threads of the kernel's own are of kind kernel.
Entity entity_of(const Entities& entities, const OwnerId& owner, const std::string& kind);

// The same, with the kernel's own threads as what they are in cgroups: in the root. For tools that do not tell them
// apart, of figures that do.
Entity entity_in_cgroups(const Snapshot& snapshot, const Entities& entities, const OwnerId& owner,
                         const std::string& kind);

// A row for each entity (without a group: the host) that has times about one thing, worst first; with a row for each
// of the kernel's own threads if they are to be apart.
void add_histograms(Report& report, const Snapshot& snapshot, const Entities& entities,
                    std::string_view about, bool kernel_apart);

// The waits that have not ended, longest first; and what held the CPU meanwhile, if that is asked for.
void add_open(Report& report, const Snapshot& snapshot, const Entities& entities,
              const std::string& kind, bool with_parts);

// A histogram of the row by its name; made at the first call.
Histogram& histogram_of(Row& row, std::string_view name);

// Counts the entities without a name; merges the rows beyond those asked for into one.
void finish(Report& report, const ToolOptions& options);

} // namespace vtrace
