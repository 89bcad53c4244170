// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/kernel_symbols.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>

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

namespace {

// Of the line that `at` is in; 0 if it has none.
uint64_t address_in_line(std::string_view text, size_t at)
{
    const size_t before = text.rfind('\n', at);
    text.remove_prefix(before == std::string_view::npos ? 0 : before + 1);
    uint64_t address = 0;
    std::from_chars(text.data(), text.data() + text.size(), address, 16);
    return address;
}

// A function that the compiler put elsewhere, as it hardly ever runs, is a part of another.
bool is_name(std::string_view rest)
{
    return rest.starts_with('\n') || (rest.starts_with('.') && !rest.starts_with(".cold"));
}

} // namespace

std::optional<FunctionRange> find_kernel_function(std::string_view text, std::string_view name)
{
    for (const char* type : {" T ", " t "}) {
        const std::string symbol = type + std::string(name);
        for (size_t at = text.find(symbol); at != std::string_view::npos;
             at = text.find(symbol, at + 1)) {
            if (!is_name(text.substr(at + symbol.size())))
                continue;
            const size_t line_end = std::min(text.find('\n', at), text.size() - 1);
            const FunctionRange range{.start = address_in_line(text, at),
                                      .end = address_in_line(text, line_end + 1)};
            if (range.start != 0 && range.start < range.end)
                return range;
        }
    }
    return std::nullopt;
}

} // namespace vtrace
