// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "render/text.h"

#include <string>

namespace vtrace {

// Each entity with its devices, what waited in them, and the paths of its packets.
std::string netq_text(const Report& report, const TextStyle& style);

} // namespace vtrace
