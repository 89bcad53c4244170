// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/kernel_symbols.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

namespace vtrace {
namespace {

struct Line {
    uint64_t address = 0;
    std::string_view name; // of a function
};

// "ffffffff81000000 T name\t[module]"; nothing if it is of something else, or has no address.
std::optional<Line> parse_line(std::string_view line)
{
    constexpr std::string_view kText = " tTwW";
    uint64_t address = 0;
    const auto [at, error] = std::from_chars(line.begin(), line.end(), address, 16);
    line.remove_prefix(static_cast<size_t>(at - line.begin()));
    if (error != std::errc{} || address == 0 || line.size() < 4 || line[0] != ' ' || line[2] != ' ')
        return std::nullopt;
    if (kText.find(line[1]) == std::string_view::npos)
        return std::nullopt;
    line.remove_prefix(3);
    return Line{.address = address, .name = line.substr(0, line.find_first_of("\t "))};
}

template <typename Visit> void each_function(std::string_view text, Visit visit)
{
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        if (const auto line = parse_line(text.substr(0, end)))
            visit(*line);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

// Of a function that the compiler has changed, or has put elsewhere as it hardly ever runs: the latter is a part.
std::string_view base_name(std::string_view name)
{
    const size_t dot = name.find('.');
    return name.substr(0, dot == std::string_view::npos || name.substr(dot).starts_with(".cold")
                              ? name.size()
                              : dot);
}

} // namespace

SymbolTable parse_kallsyms(std::string_view text)
{
    SymbolTable table;
    each_function(text, [&](const Line& line) { table.add(line.address, 0, line.name); });
    table.sort();
    return table;
}

std::map<std::string_view, FunctionRange> find_kernel_functions(
    std::string_view text, const std::set<std::string_view>& names)
{
    std::map<std::string_view, FunctionRange> found;
    FunctionRange* last = nullptr;
    each_function(text, [&](const Line& line) {
        if (last != nullptr && line.address > last->start) {
            last->end = line.address;
            last = nullptr;
        }
        const auto name = names.find(base_name(line.name));
        if (name == names.end())
            return;
        const auto [at, is_new] = found.try_emplace(*name, FunctionRange{.start = line.address});
        if (is_new)
            last = &at->second;
    });
    std::erase_if(found, [](const auto& entry) { return entry.second.end == 0; });
    return found;
}

} // namespace vtrace
