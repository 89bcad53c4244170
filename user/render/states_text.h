// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "render/text.h"

#include <string>

namespace vtrace {

// A line for each row, in percent of its thread time; columns for the states that matter most, the last
// for all others.
std::string states_text(const Report& report, const TextStyle& style);

} // namespace vtrace
