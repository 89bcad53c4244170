// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/kernel_symbols.h"

#include <gtest/gtest.h>

namespace vtrace {
namespace {

TEST(KernelSymbols, TakesFunctionsOfKernelAndModules)
{
    const SymbolTable table = parse_kallsyms("ffffffff81000000 T _text\n"
                                             "ffffffff81000100 t do_it\n"
                                             "ffffffff81000200 D some_data\n"
                                             "ffffffffc0001000 t in_module\t[kvm]\n");
    EXPECT_EQ(table.find(0xffffffff81000000), "_text");
    EXPECT_EQ(table.find(0xffffffff81000250), "do_it");
    EXPECT_EQ(table.find(0xffffffffc0001001), "in_module");
}

TEST(KernelSymbols, HiddenOnesAreNone)
{
    EXPECT_TRUE(parse_kallsyms("0000000000000000 T _text\n0000000000000000 t do_it\n").empty());
}

TEST(KernelSymbols, LeavesOutWhatIsNoLine)
{
    EXPECT_TRUE(parse_kallsyms("").empty());
    EXPECT_TRUE(parse_kallsyms("\n\nx\nffff\nffff T\nffff T \nffffTx y\n").empty());
}

} // namespace
} // namespace vtrace
