// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/symbol_table.h"

#include <gtest/gtest.h>

namespace vtrace {
namespace {

TEST(SymbolTable, FindsWhatAnAddressIsIn)
{
    SymbolTable table;
    table.add(300, 0, "open_ended");
    table.add(100, 50, "sized");
    table.add(500, 10, "last");
    table.sort();
    EXPECT_EQ(table.find(99), "");
    EXPECT_EQ(table.find(100), "sized");
    EXPECT_EQ(table.find(149), "sized");
    EXPECT_EQ(table.find(150), "");
    EXPECT_EQ(table.find(299), "");
    EXPECT_EQ(table.find(300), "open_ended");
    EXPECT_EQ(table.find(499), "open_ended");
    EXPECT_EQ(table.find(509), "last");
    EXPECT_EQ(table.find(510), "");
    EXPECT_EQ(table.find(~0ULL), "");
}

TEST(SymbolTable, OfNamesForOneAddressTakesTheSizedThenTheFirst)
{
    SymbolTable table;
    table.add(100, 0, "label");
    table.add(100, 8, "function");
    table.add(100, 8, "alias");
    table.add(200, 0, "");
    table.sort();
    EXPECT_EQ(table.find(104), "function");
    EXPECT_EQ(table.find(200), "");
}

TEST(SymbolTable, MayBeEmpty)
{
    SymbolTable table;
    table.sort();
    EXPECT_TRUE(table.empty());
    EXPECT_EQ(table.find(1), "");
}

} // namespace
} // namespace vtrace
