// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/symbol_table.h"

#include <algorithm>
#include <limits>

namespace vtrace {

void SymbolTable::add(uint64_t start, uint64_t size, std::string_view name)
{
    constexpr size_t kMost = std::numeric_limits<uint32_t>::max();
    if (name.empty() || name.size() > kMost - names_.size())
        return;
    symbols_.push_back({.start = start,
                        .size = size,
                        .name = static_cast<uint32_t>(names_.size()),
                        .length = static_cast<uint32_t>(name.size())});
    names_ += name;
}

void SymbolTable::sort()
{
    // Of names for one address the one with a size, then the first: a file lists the strong ones first.
    std::ranges::stable_sort(symbols_, [](const Symbol& a, const Symbol& b) {
        return a.start != b.start ? a.start < b.start : a.size != 0 && b.size == 0;
    });
    const auto same =
        std::unique(symbols_.begin(), symbols_.end(),
                    [](const Symbol& a, const Symbol& b) { return a.start == b.start; });
    symbols_.erase(same, symbols_.end());
    symbols_.shrink_to_fit();
    names_.shrink_to_fit();
}

std::string_view SymbolTable::find(uint64_t address) const
{
    const auto after = std::ranges::upper_bound(symbols_, address, {}, &Symbol::start);
    if (after == symbols_.begin())
        return {};
    const Symbol& symbol = *std::prev(after);
    if (symbol.size != 0 && address - symbol.start >= symbol.size)
        return {};
    return std::string_view(names_).substr(symbol.name, symbol.length);
}

size_t SymbolTable::bytes() const
{
    return symbols_.capacity() * sizeof(Symbol) + names_.capacity();
}

} // namespace vtrace
