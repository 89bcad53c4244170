// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "render/text.h"

#include <string>

namespace vtrace {

// A line for each victim with the shares of its wait, and the culprits of those that waited longest.
std::string blame_text(const Report& report, const TextStyle& style);

// An entity, or a part of a wait, as people call it.
std::string culprit_name(const Entity& culprit);

} // namespace vtrace
