// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "compare/comparison.h"

#include <string>

namespace vtrace {

// One line of JSON, schema vtrace/1 (tests/fixtures/vtrace-1.schema.json), with its newline; each figure in its unit.
std::string compare_json(const Comparison& comparison);

} // namespace vtrace
