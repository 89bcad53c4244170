// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "render/text.h"

#include <string>

namespace vtrace {

// Each entity with what was dropped of its packets, the worst first, and what common reasons mean.
std::string netdrop_text(const Report& report, const TextStyle& style);

} // namespace vtrace
