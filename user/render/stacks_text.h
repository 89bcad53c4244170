// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "render/text.h"

#include <cstddef>
#include <string>

namespace vtrace {

inline constexpr size_t kStacksShown = 5; // of each row, unless --top says another number

// A line for each row with its reasons, and the stacks of the worst.
std::string stacks_text(const Report& report, const TextStyle& style);

// A line for each stack: what flame graphs are drawn from.
std::string stacks_folded(const Report& report, const TextStyle& style);

} // namespace vtrace
