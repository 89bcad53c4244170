// SPDX-License-Identifier: GPL-2.0-only
#include "render/histogram_text.h"

#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

namespace vtrace {
namespace {

// The row of a value: 0 below 16 ns, then one for each power of two.
size_t octave(uint64_t ns)
{
    return static_cast<size_t>(std::bit_width(ns >> VT_HIST_UNIT_SHIFT));
}

uint64_t octave_start(size_t row)
{
    return row == 0 ? 0 : uint64_t{1} << (row - 1 + VT_HIST_UNIT_SHIFT);
}

// A bar of up to `width` columns; anything above zero shows.
std::string bar(uint64_t count, uint64_t most, size_t width)
{
    const double share = static_cast<double>(count) / static_cast<double>(most);
    auto length = static_cast<size_t>(share * static_cast<double>(width));
    if (count != 0 && length == 0)
        length = 1;
    return std::string(length, '*') + std::string(width - length, ' ');
}

} // namespace

std::string histogram_rows(const Histogram& histogram, std::string_view metric,
                           const TextStyle& style)
{
    constexpr size_t kRows = 33;
    constexpr size_t kLabels = 38; // columns in front of the bars
    std::array<uint64_t, kRows + 1> rows{};
    for (const auto& [index, count] : histogram.buckets)
        rows[octave(bucket_range(index).low)] += count;
    const auto first = std::ranges::find_if(rows, [](uint64_t c) { return c != 0; });
    if (first == rows.end())
        return "";
    const uint64_t most = std::ranges::max(rows);
    size_t last = kRows;
    while (rows[last] == 0)
        last--;
    const size_t width = std::clamp<size_t>(style.width, 60, 100) - kLabels - 2;

    std::string text = fmt::format("{:>21} {:>12}   distribution\n", metric, "count");
    for (auto row = static_cast<size_t>(first - rows.begin()); row <= last; row++) {
        // The last row has no end of its own.
        const uint64_t end = row + 1 < kRows ? octave_start(row + 1)
                                             : std::max(octave_start(row + 1), histogram.max);
        text += fmt::format("{:>9} -> {:<8} {:>12}   |{}|\n", format_duration(octave_start(row)),
                            format_duration(end), rows[row], bar(rows[row], most, width));
    }
    return text;
}

std::string histogram_summary(const Histogram& histogram)
{
    const auto quantile = [&](double q) { return format_duration(histogram.quantile(q)); };
    return fmt::format("count {}  total {}  mean {}  max {}\n"
                       "p50 {}  p90 {}  p99 {}  p99.9 {}  (to 6.25 % or 8 ns)\n",
                       histogram.count(), format_duration(histogram.sum),
                       format_duration(histogram.mean()), format_duration(histogram.max),
                       quantile(0.50), quantile(0.90), quantile(0.99), quantile(0.999));
}

std::string histogram_spark(const Histogram& histogram, const TextStyle& style)
{
    constexpr size_t kColumns = 12;
    constexpr std::array<const char*, 9> kBlocks = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    constexpr std::array<const char*, 9> kAscii = {" ", ".", ".", ":", ":", "+", "+", "#", "#"};
    std::array<uint64_t, kColumns> columns{};
    for (const auto& [index, count] : histogram.buckets) {
        // 1.02 us, 4.1 us, … 1.07 s are bucket edges.
        const auto exponent = static_cast<size_t>(std::bit_width(bucket_range(index).low >> 10));
        columns[std::min((exponent + 1) / 2, kColumns - 1)] += count;
    }
    const uint64_t most = std::ranges::max(columns);
    std::string text;
    for (const uint64_t count : columns) {
        // Rounded up, so that a single slow event shows.
        const size_t level = most == 0 ? 0 : (count * 8 + most - 1) / most;
        text += style.utf8 ? kBlocks[level] : kAscii[level];
    }
    return text;
}

} // namespace vtrace
