// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/process_maps.h"

#include "base/files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace vtrace {
namespace {

bool take_number(std::string_view& text, int base, char end, uint64_t& value)
{
    const auto [at, error] = std::from_chars(text.begin(), text.end(), value, base);
    if (error != std::errc{} || at == text.end() || *at != end)
        return false;
    text.remove_prefix(static_cast<size_t>(at - text.begin()) + 1);
    return true;
}

// The next word; what follows it starts after one blank.
std::string_view take_word(std::string_view& text)
{
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return word;
}

std::optional<Mapping> parse_line(std::string_view line)
{
    constexpr std::string_view kDeleted = " (deleted)";
    constexpr size_t kFlags = 4;
    Mapping map;
    if (!take_number(line, 16, '-', map.start) || !take_number(line, 16, ' ', map.end))
        return {};
    const std::string_view flags = take_word(line);
    if (flags.size() != kFlags || !take_number(line, 16, ' ', map.offset))
        return {};
    map.executable = flags[2] == 'x';
    take_word(line); // device
    const std::string_view inode = take_word(line);
    if (std::from_chars(inode.begin(), inode.end(), map.inode).ec != std::errc{})
        return {};
    std::string_view path = line.substr(std::min(line.find_first_not_of(' '), line.size()));
    map.deleted = path.ends_with(kDeleted);
    if (map.deleted)
        path.remove_suffix(kDeleted.size());
    map.path = path;
    return map;
}

} // namespace

std::vector<Mapping> parse_maps(std::string_view text)
{
    std::vector<Mapping> maps;
    for (const std::string_view line : split(text, '\n')) {
        if (auto map = parse_line(line))
            maps.push_back(std::move(*map));
    }
    std::ranges::sort(maps, {}, &Mapping::start);
    return maps;
}

Result<std::vector<Mapping>> read_maps(uint32_t pid)
{
    auto text = read_file(fmt::format("/proc/{}/maps", pid));
    if (!text)
        return text.error();
    return parse_maps(*text);
}

const Mapping* find_mapping(const std::vector<Mapping>& maps, uint64_t address)
{
    const auto after = std::ranges::upper_bound(maps, address, {}, &Mapping::start);
    if (after == maps.begin() || address >= std::prev(after)->end)
        return nullptr;
    return &*std::prev(after);
}

} // namespace vtrace
