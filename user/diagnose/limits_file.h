// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "diagnose/diagnose.h"

#include <string_view>

namespace vtrace {

// Limits of rules from TOML: a table for each rule, by its name, with any of p0, p1, p2, p3 and least; what is not there is
// the rule's own. Usage error, with the line, on anything else: rules that do not exist, other keys, no numbers,
// negative ones, a severity that begins before the lesser one.
Result<LimitsByRule> parse_limits(std::string_view toml);

} // namespace vtrace
