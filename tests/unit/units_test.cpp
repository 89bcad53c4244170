// SPDX-License-Identifier: GPL-2.0-only
#include "render/units.h"

#include "base/printable.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <string>
#include <utility>

namespace vtrace {
namespace {

TEST(WholeNumber, OfAnyFigure)
{
    constexpr double kTwoTo64 = 18446744073709551616.0;
    const std::pair<double, uint64_t> cases[] = {
        {0.0, 0},
        {-0.0, 0},
        {0.999, 0},
        {1.0, 1},
        {-1.0, 0},
        {9007199254740993.0, 9007199254740992}, // the nearest double
        {std::nextafter(kTwoTo64, 0), UINT64_MAX - 2047},
        {kTwoTo64, UINT64_MAX},
        {std::numeric_limits<double>::max(), UINT64_MAX},
        {std::numeric_limits<double>::infinity(), UINT64_MAX},
        {-std::numeric_limits<double>::infinity(), 0},
        {std::numeric_limits<double>::quiet_NaN(), 0},
    };
    for (const auto& [figure, whole] : cases)
        EXPECT_EQ(whole_number(figure), whole) << figure;
}

TEST(FormatDuration, RoundingEdges)
{
    const std::pair<uint64_t, const char*> cases[] = {
        {0, "0"},
        {1, "1ns"},
        {999, "999ns"},
        {1'000, "1.00us"},
        {1'004, "1.00us"},
        {1'006, "1.01us"},
        {1'024, "1.02us"},
        {9'994, "9.99us"},
        {9'996, "10.0us"},
        {9'999, "10.0us"},
        {10'000, "10.0us"},
        {99'940, "99.9us"},
        {99'960, "100us"},
        {100'000, "100us"},
        {999'400, "999us"},
        {999'499, "999us"},
        {999'500, "1.00ms"},
        {999'600, "1.00ms"},
        {999'999, "1.00ms"},
        {1'000'000, "1.00ms"},
        {9'994'999, "9.99ms"},
        {9'995'001, "10.0ms"},
        {34'500'000, "34.5ms"},
        {99'949'999, "99.9ms"},
        {99'950'001, "100ms"},
        {999'499'999, "999ms"},
        {999'500'000, "1.00s"},
        {1'000'000'000, "1.00s"},
        {2'310'000'000, "2.31s"},
        {9'994'999'999, "9.99s"},
        {9'995'000'001, "10.0s"},
        {127'000'000'000, "127s"},
        {999'499'999'999, "999s"},
        {10'799'000'000'000, "10799s"}, // up to three hours
        {10'800'000'000'000, "3.00h"},
        {360'000'000'000'000, "100h"},
        {863'999'000'000'000, "240h"},
        {864'000'000'000'000, "10.0d"},
        {2'592'000'000'000'000, "30.0d"},
        {UINT64_MAX, "213504d"},
    };
    for (const auto& [ns, text] : cases)
        EXPECT_EQ(format_duration(ns), text) << ns;
}

// Reads back what was written: at most 0.5 % off, three digits, never more than six columns.
TEST(FormatDuration, IsTrueToThreeDigits)
{
    const auto check = [](uint64_t ns) {
        const std::string text = format_duration(ns);
        size_t end = 0;
        const double number = std::stod(text, &end);
        const std::string unit = text.substr(end);
        const double scale = unit == "ns"   ? 1
                             : unit == "us" ? 1e3
                             : unit == "ms" ? 1e6
                             : unit == "s"  ? 1e9
                                            : 0;
        ASSERT_NE(scale, 0) << text;
        const auto exact = static_cast<double>(ns);
        ASSERT_LE(std::abs(number * scale - exact), exact * 0.00501) << ns << " as " << text;
        ASSERT_LT(number, 1000) << text;
        ASSERT_LE(text.size(), 6u) << text;
    };
    for (uint64_t ns = 1; ns < 20'000; ns++)
        check(ns);
    for (double ns = 20'000; ns < 999e9; ns *= 1.0003)
        check(static_cast<uint64_t>(ns));
    for (const uint64_t power :
         {1'000ULL, 10'000ULL, 100'000ULL, 1'000'000ULL, 10'000'000ULL, 100'000'000ULL,
          1'000'000'000ULL, 10'000'000'000ULL, 100'000'000'000ULL}) {
        for (uint64_t permille = 900; permille <= 1'100; permille++) {
            for (const uint64_t by : {0U, 1U})
                check(power / 1'000 * permille - by);
        }
    }
}

// Totals over thousands of tasks and hours: the column of a table has seven places.
TEST(FormatDuration, FitsItsColumnAtAnySize)
{
    for (double ns = 1; ns < 1.8e19; ns *= 1.01) {
        const std::string text = format_duration(static_cast<uint64_t>(ns));
        ASSERT_LE(text.size(), 7u) << text;
    }
    EXPECT_LE(format_duration(UINT64_MAX).size(), 7u) << format_duration(UINT64_MAX);
}

TEST(FormatCount, RoundingEdges)
{
    const std::pair<uint64_t, const char*> cases[] = {
        {0, "0"},
        {1'234, "1234"},
        {123'456, "123456"},
        {999'999, "999999"},
        {1'000'000, "1.00M"},
        {9'994'999, "9.99M"},
        {9'995'001, "10.0M"},
        {12'345'678, "12.3M"},
        {99'949'999, "99.9M"},
        {99'950'001, "100M"},
        {999'499'999, "999M"},
        {999'500'000, "1.00G"},
        {12'300'000'000, "12.3G"},
        {999'000'000'000, "999G"},
        {999'500'000'000, "1.00T"},
        {12'300'000'000'000'000, "12300T"},
    };
    for (const auto& [count, text] : cases)
        EXPECT_EQ(format_count(count), text) << count;
}

TEST(FormatCount, TakesAtMostSixColumns)
{
    for (double count = 1; count < 1e17; count *= 1.01) {
        const std::string text = format_count(static_cast<uint64_t>(count));
        ASSERT_LE(text.size(), 6u) << text;
    }
}

TEST(FormatTime, IsRfc3339InUtc)
{
    EXPECT_EQ(format_time(0), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(format_time(1'000'000), "1970-01-01T00:00:00.001Z");
    EXPECT_EQ(format_time(999'999'999), "1970-01-01T00:00:00.999Z");
    EXPECT_EQ(format_time(951'782'400'000'000'000), "2000-02-29T00:00:00.000Z");
    EXPECT_EQ(format_time(1'700'000'000'123'456'789), "2023-11-14T22:13:20.123Z");
    EXPECT_EQ(format_time(INT64_MAX), "2262-04-11T23:47:16.854Z");
}

// A saved snapshot may hold any number: still a time, and the right one.
TEST(FormatTime, TakesTimesBefore1970)
{
    EXPECT_EQ(format_time(-1), "1969-12-31T23:59:59.999Z");
    EXPECT_EQ(format_time(-1'500'000'000), "1969-12-31T23:59:58.500Z");
    EXPECT_EQ(format_time(INT64_MIN), "1677-09-21T00:12:43.145Z");
}

TEST(FormatClock, IsLocalTime)
{
    ASSERT_EQ(::setenv("TZ", "XXX-02:30", 1), 0); // 2:30 east of Greenwich
    ::tzset();
    EXPECT_EQ(format_clock(0), "02:30:00.000");
    EXPECT_EQ(format_clock(1'700'000'000'123'456'789), "00:43:20.123");
    ASSERT_EQ(::setenv("TZ", "UTC", 1), 0);
    ::tzset();
    EXPECT_EQ(format_clock(1'700'000'000'123'456'789), "22:13:20.123");
}

} // namespace
} // namespace vtrace
