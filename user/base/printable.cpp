// SPDX-License-Identifier: GPL-2.0-only
#include "base/printable.h"

#include <fmt/format.h>

#include <vector>

namespace vtrace {
namespace {

struct CodePoint {
    char32_t value = 0;
    size_t length = 0; // 0: not valid UTF-8
};

// Decodes the first code point, by the table of well-formed sequences of the Unicode Standard (3.9).
CodePoint decode(std::string_view text)
{
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80)
        return {lead, 1};
    const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < length)
        return {};
    char32_t value = lead & (0x7f >> length);
    for (size_t i = 1; i < length; i++) {
        if ((byte(i) & 0xc0) != 0x80)
            return {};
        value = value << 6 | (byte(i) & 0x3f);
    }
    const bool too_long = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
    const bool surrogate = value >= 0xd800 && value <= 0xdfff;
    if (too_long || surrogate || value > 0x10ffff)
        return {};
    return {value, length};
}

bool drives_terminal(char32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

} // namespace

std::string printable(std::string_view name)
{
    std::string out;
    out.reserve(name.size());
    while (!name.empty()) {
        const CodePoint c = decode(name);
        const size_t length = c.length == 0 ? 1 : c.length;
        if (c.length != 0 && !drives_terminal(c.value)) {
            out.append(name.substr(0, length));
        } else {
            for (const char byte : name.substr(0, length))
                out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
        }
        name.remove_prefix(length);
    }
    return out;
}

size_t columns(std::string_view text)
{
    size_t count = 0;
    for (const char byte : text)
        count += (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
    return count;
}

std::string shorten(std::string_view text, size_t width, bool utf8)
{
    const size_t total = columns(text);
    if (total <= width)
        return std::string(text);
    const std::string_view dots = utf8 ? "…" : "...";
    std::string front;
    if (width < columns(dots)) {
        front.assign(width, '.');
        return front;
    }
    const size_t keep = width - columns(dots);
    const size_t head = keep / 3;
    std::string back;
    size_t column = 0;
    for (const char byte : text) {
        column += (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
        if (column <= head)
            front += byte;
        else if (column > total - (keep - head))
            back += byte;
    }
    return front + std::string(dots) + back;
}

} // namespace vtrace
