// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "render/text.h"

#include <string>

namespace vtrace {

// A table of lengths of run queues.
std::string runqlen_text(const Report& report, const TextStyle& style);

} // namespace vtrace
