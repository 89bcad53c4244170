// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/memory.h"
#include "model/report.h"
#include "render/text.h"

#include <string>

namespace vtrace {

// Each entity with what held its tasks up, the worst one with a histogram, and who was killed.
std::string memstall_text(const Report& report, const TextStyle& style);

// "3 major faults, 1.0M refaulted", in a line; what is not told is left out.
std::string counts_text(const MemoryCounts& counts);

} // namespace vtrace
