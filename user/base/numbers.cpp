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

uint64_t whole_number(double figure)
{
    constexpr double kBeyond = 18446744073709551616.0; // 2^64
    if (!(figure > 0))
        return 0;
    return figure < kBeyond ? static_cast<uint64_t>(figure) : UINT64_MAX;
}

} // namespace vtrace
