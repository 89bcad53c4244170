// SPDX-License-Identifier: GPL-2.0-only
// What reports for people are put together of.
#pragma once

#include "model/report.h"
#include "render/text.h"

#include <optional>
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

// The value of a row's metric, if the row has it …
std::optional<double> find_value(const Row& row, std::string_view name);
// … and 0 if it has not.
double value_of(const Row& row, std::string_view name);

// The same as a count or a time.
uint64_t count_of(const Row& row, std::string_view name);

// How long the report's window was, in seconds; never 0.
double seconds_of(const Report& report);
// So many in the window, as so many a second.
std::string per_second(const Report& report, double count);

// text and a newline; in lines of at most the style's width, cut at spaces where there are some, all of them
// indented as the first.
std::string wrapped(std::string_view text, const TextStyle& style);

// A kind as the heading of a column.
std::string heading(std::string kind);

// A label of the row's entity, raw bytes; empty if it has none of that kind.
std::string_view label_of(const Row& row, std::string_view kind);

// A histogram of the row by its name; an empty one if it has none of that.
const Histogram& find_histogram(const Row& row, std::string_view name);

// A name in a column as wide as the figures beside it leave.
std::string name_column(const std::string& name, size_t figures, const TextStyle& style);

} // namespace vtrace
