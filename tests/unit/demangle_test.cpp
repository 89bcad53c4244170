// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/demangle.h"

#include <gtest/gtest.h>

#include <string>

namespace vtrace {
namespace {

TEST(Demangle, Cpp)
{
    EXPECT_EQ(demangled("_ZN6vtrace4test4hereEi"), "vtrace::test::here(int)");
    EXPECT_EQ(demangled("_ZN3FooC1Ev.part.0"), "Foo::Foo() [clone .part.0]");
}

TEST(Demangle, Rust)
{
    EXPECT_EQ(demangled("_RNvNtCs1234_7mycrate3foo3bar"), "mycrate::foo::bar");
    EXPECT_EQ(demangled("_RINvNtC3std3mem8align_ofdE"), "std::mem::align_of::<f64>");
    EXPECT_EQ(demangled("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"),
              "core::fmt::Write::write_fmt");
}

TEST(Demangle, OtherNamesAreAsTheyAre)
{
    for (const std::string name :
         {"", "i", "main", "_Z", "_R", "_Zbroken", "_Rbroken", "_ZN", "Z3foov"})
        EXPECT_EQ(demangled(name), name);
    const std::string long_name = "_Z" + std::string(4000, '9');
    EXPECT_EQ(demangled(long_name), long_name);
}

// A<int, int>, A of two of these, A of two of those ...: each doubles the one before.
TEST(Demangle, ANameThatStandsForTerabytes)
{
    std::string name = "_Z1f1AIiiES_IS0_S0_E";
    for (char c = '1'; c <= '9'; c++)
        name += std::string("S_IS") + c + "_S" + c + "_E";
    for (char c = 'A'; c <= 'Z'; c++)
        name += std::string("S_IS") + c + "_S" + c + "_E";
    EXPECT_LT(name.size(), 500U);
    EXPECT_EQ(demangled(name), name);
    EXPECT_EQ(demangled("_Z1f1AIiiES_IS0_S0_E"), "f(A<int, int>, A<A<int, int>, A<int, int> >)");
}

} // namespace
} // namespace vtrace
