// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <string_view>

namespace vtrace {

// The name of an enum vt_reason; empty if there is none of this number.
std::string_view reason_name(uint32_t reason);

} // namespace vtrace
