// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/printable.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace vtrace::fuzz {

// Ends the run, so that the fuzzer keeps the input, if what has to hold does not.
inline void require(bool holds, const char* what, std::string_view shown = "")
{
    if (holds)
        return;
    std::fprintf(stderr, "does not hold: %s: %s\n", what, printable(shown).c_str());
    std::abort();
}

// True for valid UTF-8 that drives no terminal. Another decoder than the one of printable().
inline bool harmless(std::string_view text)
{
    for (size_t i = 0; i < text.size();) {
        const auto byte = [&](size_t offset) -> unsigned {
            return i + offset < text.size() ? static_cast<unsigned char>(text[i + offset]) : 0U;
        };
        const unsigned lead = byte(0);
        const size_t length = lead < 0x80   ? 1
                              : lead < 0xc0 ? 0
                              : lead < 0xe0 ? 2
                              : lead < 0xf0 ? 3
                              : lead < 0xf8 ? 4
                                            : 0;
        if (length == 0)
            return false;
        unsigned value = length == 1 ? lead : lead & (0xffU >> (length + 1));
        for (size_t k = 1; k < length; k++) {
            if (byte(k) >> 6 != 2)
                return false;
            value = value * 64 + byte(k) % 64;
        }
        constexpr unsigned kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
        if (value < kLeast[length] || value > 0x10ffff || value / 0x800 == 0x1b)
            return false;
        const bool control = value < 0x20 || (value >= 0x7f && value < 0xa0);
        const bool bidi =
            (value >= 0x202a && value <= 0x202e) || (value >= 0x2066 && value <= 0x2069);
        if (control || bidi)
            return false;
        i += length;
    }
    return true;
}

// The same for text of several lines.
inline bool harmless_lines(std::string_view text)
{
    while (!text.empty()) {
        const size_t end = text.find('\n');
        if (!harmless(text.substr(0, end)))
            return false;
        if (end == std::string_view::npos)
            break;
        text.remove_prefix(end + 1);
    }
    return true;
}

} // namespace vtrace::fuzz
