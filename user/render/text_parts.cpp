// SPDX-License-Identifier: GPL-2.0-only
#include "render/text_parts.h"

#include "base/printable.h"
#include "render/units.h"

#include <algorithm>
#include <cmath>

namespace vtrace {

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

std::optional<double> find_value(const Row& row, std::string_view name)
{
    const auto found = std::ranges::find(row.metrics, name, &Metric::name);
    if (found == row.metrics.end())
        return std::nullopt;
    return found->value;
}

double value_of(const Row& row, std::string_view name)
{
    return find_value(row, name).value_or(0);
}

uint64_t count_of(const Row& row, std::string_view name)
{
    return whole_number(value_of(row, name));
}

double seconds_of(const Report& report)
{
    constexpr double kNsPerSecond = 1e9;
    return std::max(static_cast<double>(report.duration_ns) / kNsPerSecond, 1e-9);
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
            if (text[end] == ' ')
                space = end;
        }
        if (text[end] == ' ')
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

std::string_view label_of(const Row& row, std::string_view kind)
{
    const auto found = std::ranges::find(row.entity.labels, kind, &EntityName::kind);
    return found == row.entity.labels.end() ? "" : std::string_view(found->name);
}

const Histogram& find_histogram(const Row& row, std::string_view name)
{
    static const Histogram none;
    const auto found = std::ranges::find(row.histograms, name, &NamedHistogram::name);
    return found == row.histograms.end() ? none : found->histogram;
}

std::string name_column(const std::string& name, size_t figures, const TextStyle& style)
{
    const size_t width = std::clamp<size_t>(style.width, 78, 160) - figures;
    return pad(shorten(name, width - 1, style.utf8), width);
}

} // namespace vtrace
