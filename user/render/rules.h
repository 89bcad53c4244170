// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "diagnose/diagnose.h"
#include "render/text.h"

#include <string>

namespace vtrace {

// The rules with their limits, as a table and below it what they mean.
std::string rules_text(const LimitsByRule& limits, const TextStyle& style);

// One line of JSON, schema vtrace/1, with its newline.
std::string rules_json(const LimitsByRule& limits);

} // namespace vtrace
