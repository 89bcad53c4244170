// SPDX-License-Identifier: GPL-2.0-only
#include "render/text_parts.h"

#include "base/printable.h"
#include "render/units.h"

#include <algorithm>
#include <cmath>

namespace vtrace {
namespace {

// A figure and its % are one word.
bool may_break(std::string_view text, size_t at)
{
    return text[at] == ' ' && !text.substr(at + 1).starts_with('%');
}

} // namespace

std::string paint(std::string text, std::string_view colour, const TextStyle& style)
{
    return style.colour ? std::string(colour) + std::move(text) + std::string(kPlain) : text;
}

// text padded to `width` columns (not bytes).
std::string pad(const std::string& text, size_t width)
{
    const size_t used = columns(text);
    return used < width ? text + std::string(width - used, ' ') : text;
}

std::string label(const Entity& entity)
{
    return printable(entity.name) + (entity.ended ? " (ended)" : "");
}

std::string per_second(const Report& report, double count)
{
    return format_count(whole_number(std::round(count / seconds_of(report))));
}

// text and a newline; in lines of at most the style's width, cut at spaces where there are some.
std::string wrapped(std::string_view text, const TextStyle& style)
{
    const size_t screen = std::max<size_t>(style.width, 60);
    const std::string indent(std::min({text.find_first_not_of(' '), screen / 2, text.size()}), ' ');
    const size_t width = screen - indent.size();
    text.remove_prefix(indent.size());
    std::string lines = indent;
    while (columns(text) > width) {
        size_t end = 0;
        size_t space = 0;
        for (size_t column = 0; column <= width; end++) {
            // A code point ends where the next one starts.
            column += (static_cast<unsigned char>(text[end]) & 0xc0) != 0x80;
            if (column > width)
                break;
            if (may_break(text, end))
                space = end;
        }
        if (may_break(text, end))
            space = end;
        const size_t cut = space == 0 ? end : space;
        lines += std::string(text.substr(0, cut)) + "\n" + indent;
        text.remove_prefix(space == 0 ? cut : cut + 1);
    }
    return lines + std::string(text) + "\n";
}

std::string heading(std::string kind)
{
    std::ranges::transform(kind, kind.begin(),
                           [](char c) { return static_cast<char>(c - 'a' + 'A'); });
    return kind;
}

std::string name_column(const std::string& name, size_t figures, const TextStyle& style)
{
    const size_t width = std::clamp<size_t>(style.width, 78, 160) - figures;
    return pad(shorten(name, width - 1, style.utf8), width);
}

} // namespace vtrace
