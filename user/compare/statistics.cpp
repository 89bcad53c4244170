// SPDX-License-Identifier: GPL-2.0-only
#include "compare/statistics.h"

#include <boost/math/special_functions/erf.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <numeric>

namespace vtrace {
namespace {

// Of the standard normal distribution: so many around 0 have this share.
double two_sided(double confidence)
{
    return std::numbers::sqrt2 * boost::math::erf_inv(confidence);
}

// Those that are equal share the middle of their ranks.
std::vector<double> ranks_of(const std::vector<double>& values)
{
    std::vector<size_t> order(values.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::sort(order, {}, [&](size_t i) { return values[i]; });
    std::vector<double> ranks(values.size());
    for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
        while (end < order.size() && values[order[end]] == values[order[begin]])
            end++;
        for (size_t i = begin; i < end; i++)
            ranks[order[i]] = static_cast<double>(begin + end - 1) / 2;
    }
    return ranks;
}

// How the test's statistic U of samples of m and n is distributed: in how many orders it is 0, 1, … m * n. These are the
// coefficients of Gauss's binomial, below 2^53 up to 20 and 20.
std::vector<double> orders_by_u(size_t m, size_t n)
{
    std::vector<double> orders(m * n + 1);
    orders[0] = 1;
    for (size_t i = 1; i <= m; i++) {
        for (size_t u = m * n; u >= n + i; u--)
            orders[u] -= orders[u - n - i];
        for (size_t u = i; u <= m * n; u++)
            orders[u] += orders[u - i];
    }
    return orders;
}

// The difference from either end, counted from 1, that bounds the shift; below 1 there is none.
double order_of_bound(size_t m, size_t n, double confidence)
{
    constexpr size_t kExact = 20;
    const auto pairs = static_cast<double>(m * n);
    if (m > kExact || n > kExact)
        return pairs / 2 -
               two_sided(confidence) * std::sqrt(pairs * static_cast<double>(m + n + 1) / 12);
    const std::vector<double> orders = orders_by_u(m, n);
    const double tail =
        (1 - confidence) / 2 * std::accumulate(orders.begin(), orders.end(), double{0});
    double sum = 0;
    size_t order = 0;
    while (order < orders.size() && sum + orders[order] <= tail)
        sum += orders[order++];
    return static_cast<double>(order);
}

// Doubles in their order as integers, so that halving finds one in 64 steps.
int64_t ordered(double value)
{
    const auto bits = std::bit_cast<int64_t>(value);
    return bits >= 0 ? bits : std::numeric_limits<int64_t>::min() - bits;
}

double from_ordered(int64_t order)
{
    return std::bit_cast<double>(order >= 0 ? order : std::numeric_limits<int64_t>::min() - order);
}

// How many of all b - a are at most `limit`. Both ascend.
uint64_t count_up_to(const std::vector<double>& a, const std::vector<double>& b, double limit)
{
    uint64_t count = 0;
    size_t end = 0;
    for (const double from : a) {
        while (end < b.size() && b[end] - from <= limit)
            end++;
        count += end;
    }
    return count;
}

// The one at `place` (from 1) of all b - a in ascending order, without making them: a day of seconds has 10^10.
double difference_at(const std::vector<double>& a, const std::vector<double>& b, uint64_t place)
{
    int64_t low = ordered(b.front() - a.back());
    int64_t high = ordered(b.back() - a.front());
    while (low < high) {
        const int64_t middle = std::midpoint(low, high);
        if (count_up_to(a, b, from_ordered(middle)) >= place)
            high = middle;
        else
            low = middle + 1;
    }
    return from_ordered(low);
}

// Of so many values in order, the places of the lower and the upper middle.
double middle_difference(const std::vector<double>& a, const std::vector<double>& b)
{
    const uint64_t pairs = uint64_t{a.size()} * b.size();
    return std::midpoint(difference_at(a, b, (pairs + 1) / 2), difference_at(a, b, pairs / 2 + 1));
}

std::vector<double> blocks_of(const std::vector<double>& series, size_t most)
{
    if (series.size() <= most)
        return series;
    std::vector<double> blocks;
    for (size_t i = 0; i < most; i++) {
        const auto at = [&](size_t block) {
            return series.begin() + static_cast<ptrdiff_t>(block * series.size() / most);
        };
        blocks.push_back(median({at(i), at(i + 1)}));
    }
    return blocks;
}

// Sen's bounds: so many slopes from either end, counted from 1. Below 1 there are none.
double order_of_slope(size_t values, double inflation, double confidence)
{
    const auto n = static_cast<double>(values);
    const double sd = std::sqrt(inflation * n * (n - 1) * (2 * n + 5) / 18);
    return (n * (n - 1) / 2 - two_sided(confidence) * sd) / 2;
}

} // namespace

double median(std::vector<double> values)
{
    if (values.empty())
        return 0;
    const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    if (values.size() % 2 != 0)
        return *middle;
    return std::midpoint(*std::max_element(values.begin(), middle), *middle);
}

double variance_inflation(const std::vector<double>& series)
{
    constexpr size_t kLeast = 3;
    if (series.size() < kLeast)
        return 1;
    const std::vector<double> ranks = ranks_of(series);
    const auto n = static_cast<double>(series.size());
    const double mean = (n - 1) / 2;
    double variance = 0;
    double together = 0;
    for (size_t i = 0; i < ranks.size(); i++) {
        variance += (ranks[i] - mean) * (ranks[i] - mean);
        if (i != 0)
            together += (ranks[i] - mean) * (ranks[i - 1] - mean);
    }
    if (variance == 0)
        return 1; // all are the same
    const double r = std::clamp(together / variance + 1 / n, 0.0, 1 - 2 / n);
    return (1 + r) / (1 - r);
}

std::optional<Estimate> shift_between(std::vector<double> a, std::vector<double> b,
                                      double confidence)
{
    if (a.empty() || b.empty())
        return std::nullopt;
    const auto m = static_cast<double>(a.size());
    const auto n = static_cast<double>(b.size());
    // Each sample's part of the variance of U (its projection, Hájek 1968) grows with its own inflation.
    const double wider =
        std::sqrt((n * variance_inflation(a) + m * variance_inflation(b) + 1) / (m + n + 1));
    std::ranges::sort(a);
    std::ranges::sort(b);
    Estimate shift{.value = middle_difference(a, b)};
    const double half = m * n / 2;
    const double order =
        std::floor(half - (half - order_of_bound(a.size(), b.size(), confidence)) * wider);
    if (order < 1)
        return shift;
    const auto place = static_cast<uint64_t>(order);
    shift.bounds = {.low = difference_at(a, b, place),
                    .high = difference_at(a, b, uint64_t{a.size()} * b.size() + 1 - place)};
    return shift;
}

std::optional<Estimate> slope_of(const std::vector<double>& series, double confidence)
{
    constexpr size_t kMost = 120; // 7140 slopes
    const std::vector<double> values = blocks_of(series, kMost);
    if (values.size() < 2)
        return std::nullopt;
    std::vector<double> slopes;
    for (size_t i = 0; i < values.size(); i++) {
        for (size_t j = i + 1; j < values.size(); j++)
            slopes.push_back((values[j] - values[i]) / static_cast<double>(j - i));
    }
    std::ranges::sort(slopes);
    const double steps = static_cast<double>(values.size()) / static_cast<double>(series.size());
    Estimate slope{.value = median(slopes)};
    std::vector<double> rest = values;
    for (size_t i = 0; i < rest.size(); i++)
        rest[i] -= slope.value * static_cast<double>(i);
    const double order =
        std::floor(order_of_slope(values.size(), variance_inflation(rest), confidence));
    if (order >= 1) {
        const auto place = static_cast<size_t>(order);
        slope.bounds = {.low = steps * slopes[place - 1],
                        .high = steps * slopes[slopes.size() - place]};
    }
    slope.value *= steps;
    return slope;
}

TrendOf trend_of(const std::vector<double>& series, double confidence)
{
    constexpr size_t kLeast = 8;
    const auto middle = series.begin() + static_cast<ptrdiff_t>(series.size() / 2);
    TrendOf trend{.first_half = median({series.begin(), middle}),
                  .second_half = median({middle, series.end()}),
                  .slope = slope_of(series, confidence)};
    if (series.size() < kLeast)
        return trend;
    const double change = trend.second_half - trend.first_half;
    if (std::abs(change) <= kSamePart * std::abs(trend.first_half)) {
        trend.trend = Trend::kStable;
    } else if (trend.slope && trend.slope->bounds) {
        if (change > 0 && trend.slope->bounds->low > 0)
            trend.trend = Trend::kRising;
        if (change < 0 && trend.slope->bounds->high < 0)
            trend.trend = Trend::kFalling;
    }
    return trend;
}

} // namespace vtrace
