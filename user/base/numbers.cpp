// SPDX-License-Identifier: GPL-2.0-only
#include "base/numbers.h"

#include <charconv>

namespace vtrace {

std::string_view trimmed(std::string_view text)
{
    while (text.ends_with('\n') || text.ends_with(' '))
        text.remove_suffix(1);
    return text;
}

std::optional<uint64_t> whole_number(std::string_view text)
{
    text = trimmed(text);
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

} // namespace vtrace
