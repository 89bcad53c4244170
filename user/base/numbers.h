// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace vtrace {

// Without newlines and spaces at its end.
std::string_view trimmed(std::string_view text);

// The number that the text of a file in /proc or /sys is, and nothing but that.
std::optional<uint64_t> whole_number(std::string_view text);

// A figure without its fraction; of what no count can be the nearest that is one: 0 of negative ones and NaN.
// Sums of damaged or made-up records may be anything.
uint64_t whole_number(double figure);

} // namespace vtrace
