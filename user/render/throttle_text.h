// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "render/text.h"

#include <string>

namespace vtrace {

// A table of the quotas, with who inherits each, and the throttled waits of the worst.
std::string throttle_text(const Report& report, const TextStyle& style);

} // namespace vtrace
