// SPDX-License-Identifier: GPL-2.0-only
#include "render/units.h"

#include <fmt/format.h>

#include <array>
#include <ctime>
#include <string_view>

namespace vtrace {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

// A time in whole seconds and nanoseconds, before 1970, too.
struct Seconds {
    int64_t whole;
    int64_t ns;
};

Seconds seconds_of(int64_t ns)
{
    const int64_t rest = ns % kNsPerSecond;
    return rest >= 0 ? Seconds{ns / kNsPerSecond, rest}
                     : Seconds{ns / kNsPerSecond - 1, rest + kNsPerSecond};
}

// value / unit with three significant digits, rounded.
std::string three_digits(uint64_t value, uint64_t unit)
{
    const double scaled = static_cast<double>(value) / static_cast<double>(unit);
    const int decimals = scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0;
    return fmt::format("{:.{}f}", scaled, decimals);
}

std::tm broken_down(int64_t seconds, bool utc)
{
    const std::time_t t = seconds;
    std::tm tm{};
    if (utc)
        ::gmtime_r(&t, &tm);
    else
        ::localtime_r(&t, &tm);
    return tm;
}

} // namespace

std::string format_duration(uint64_t ns)
{
    struct Unit {
        uint64_t ns;
        const char* name;
    };
    constexpr std::array<Unit, 3> kUnits = {
        {{1'000'000'000, "s"}, {1'000'000, "ms"}, {1'000, "us"}}};
    // Totals of many tasks; they would not fit their column.
    constexpr uint64_t kHour = uint64_t{3'600} * kNsPerSecond;
    if (ns >= 240 * kHour)
        return three_digits(ns, 24 * kHour) + "d";
    if (ns >= 3 * kHour)
        return three_digits(ns, kHour) + "h";
    for (const Unit& unit : kUnits) {
        // 999.5 us and more round to 1.00 ms.
        if (ns >= unit.ns - unit.ns / 2000)
            return three_digits(ns, unit.ns) + unit.name;
    }
    return ns == 0 ? "0" : fmt::format("{}ns", ns);
}

std::string format_count(uint64_t count)
{
    if (count < 1'000'000)
        return std::to_string(count);
    if (count < 999'500'000)
        return three_digits(count, 1'000'000) + "M";
    if (count < 999'500'000'000)
        return three_digits(count, 1'000'000'000) + "G";
    return three_digits(count, 1'000'000'000'000) + "T";
}

std::string format_bytes(double bytes)
{
    constexpr double kStep = 1024;
    constexpr std::string_view kUnits = " KMGTPE";
    size_t unit = 0;
    while (bytes >= kStep && unit + 1 < kUnits.size()) {
        bytes /= kStep;
        unit++;
    }
    if (unit == 0)
        return fmt::format("{:.0f}", bytes);
    return fmt::format("{:.{}f}{}", bytes, bytes < 10 ? 1 : 0, kUnits[unit]);
}

std::string format_time(int64_t ns)
{
    const auto [seconds, rest] = seconds_of(ns);
    const std::tm tm = broken_down(seconds, true);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", tm.tm_year + 1900,
                       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                       rest / 1'000'000);
}

std::string format_clock(int64_t ns)
{
    const auto [seconds, rest] = seconds_of(ns);
    const std::tm tm = broken_down(seconds, false);
    return fmt::format("{:02}:{:02}:{:02}.{:03}", tm.tm_hour, tm.tm_min, tm.tm_sec,
                       rest / 1'000'000);
}

std::string format_share(double share)
{
    if (share > 0 && share < 0.0005)
        return "<0.1%";
    return fmt::format("{:.1f}%", 100 * share);
}

} // namespace vtrace
