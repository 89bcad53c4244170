// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "symbol/symbol_table.h"

#include <string_view>

namespace vtrace {

// The kernel's functions, from the text of /proc/kallsyms. Empty where the kernel hides its addresses
// (kernel.kptr_restrict): it then shows zeros.
SymbolTable parse_kallsyms(std::string_view text);

} // namespace vtrace
