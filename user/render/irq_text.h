// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "render/text.h"

#include <string>

namespace vtrace {

// Kinds of interrupts with their times, delays and CPUs, and who paid; or who paid, for which kinds.
std::string irq_text(const Report& report, const TextStyle& style);

} // namespace vtrace
