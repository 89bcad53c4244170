// SPDX-License-Identifier: GPL-2.0-only
// What reports for people are put together of.
#pragma once

#include "model/report.h"
#include "model/report_values.h"
#include "render/text.h"

#include <string>
#include <string_view>

namespace vtrace {

inline constexpr std::string_view kBold = "\033[1m";
inline constexpr std::string_view kYellow = "\033[33m";
inline constexpr std::string_view kPlain = "\033[0m";

std::string paint(std::string text, std::string_view colour, const TextStyle& style);

// text padded to `width` columns (not bytes).
std::string pad(const std::string& text, size_t width);

// An entity's name, and whether it has ended.
std::string label(const Entity& entity);

// So many in the window, as so many a second.
std::string per_second(const Report& report, double count);

// text and a newline; in lines of at most the style's width, cut at spaces where there are some, all of them
// indented as the first.
std::string wrapped(std::string_view text, const TextStyle& style);

// A kind as the heading of a column.
std::string heading(std::string kind);

// A name in a column as wide as the figures beside it leave.
std::string name_column(const std::string& name, size_t figures, const TextStyle& style);

} // namespace vtrace
