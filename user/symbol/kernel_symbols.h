// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "symbol/symbol_table.h"

#include <cstdint>
#include <map>
#include <set>
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

// Those of these names that there are, from the same text, whose lines are in the order of addresses. Also where the
// compiler has made a variant of one (name.isra.0 and the like).
std::map<std::string_view, FunctionRange> find_kernel_functions(
    std::string_view text, const std::set<std::string_view>& names);

} // namespace vtrace
