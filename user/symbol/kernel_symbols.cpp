// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/kernel_symbols.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace vtrace {
namespace {

// "ffffffff81000000 T name\t[module]"
void add_line(SymbolTable& table, std::string_view line)
{
    constexpr std::string_view kText = " tTwW";
    uint64_t address = 0;
    const auto [at, error] = std::from_chars(line.begin(), line.end(), address, 16);
    line.remove_prefix(static_cast<size_t>(at - line.begin()));
    if (error != std::errc{} || address == 0 || line.size() < 4 || line[0] != ' ' || line[2] != ' ')
        return;
    if (kText.find(line[1]) == std::string_view::npos)
        return;
    line.remove_prefix(3);
    table.add(address, 0, line.substr(0, line.find_first_of("\t ")));
}

} // namespace

SymbolTable parse_kallsyms(std::string_view text)
{
    SymbolTable table;
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        add_line(table, text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    table.sort();
    return table;
}

} // namespace vtrace
