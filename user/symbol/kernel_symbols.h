// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "symbol/symbol_table.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace vtrace {

// The kernel's functions, from the text of /proc/kallsyms. Empty where the kernel hides its addresses
// (kernel.kptr_restrict): it then shows zeros.
SymbolTable parse_kallsyms(std::string_view text);

// The code of one of them, [start, end): end is where the next one starts.
struct FunctionRange {
    uint64_t start = 0;
    uint64_t end = 0;
    bool operator==(const FunctionRange&) const = default;
};

// From the same text, whose lines are in the order of addresses. Also one that the compiler has made a variant of
// (name.isra.0 and the like).
std::optional<FunctionRange> find_kernel_function(std::string_view text, std::string_view name);

} // namespace vtrace
