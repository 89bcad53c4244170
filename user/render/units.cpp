// SPDX-License-Identifier: GPL-2.0-only
#include "render/units.h"

#include <fmt/format.h>

#include <array>
#include <ctime>

namespace vtrace {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

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
    return three_digits(count, 1'000'000'000) + "G";
}

std::string format_time(int64_t ns)
{
    const std::tm tm = broken_down(ns / kNsPerSecond, true);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", tm.tm_year + 1900,
                       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                       ns % kNsPerSecond / 1'000'000);
}

std::string format_clock(int64_t ns)
{
    const std::tm tm = broken_down(ns / kNsPerSecond, false);
    return fmt::format("{:02}:{:02}:{:02}.{:03}", tm.tm_hour, tm.tm_min, tm.tm_sec,
                       ns % kNsPerSecond / 1'000'000);
}

} // namespace vtrace
