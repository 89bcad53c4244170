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

constexpr std::string_view kInOrder = "ffffffff81000000 T _text\n"
                                      "ffffffff81000100 t do_it.cold\n"
                                      "ffffffff81000100 t do_it\n"
                                      "ffffffff81000180 T do_it_too\n"
                                      "ffffffff81000200 D do_it_three\n"
                                      "ffffffffc0001000 t last\n";

TEST(KernelSymbols, FindsTheCodeOfAFunction)
{
    const FunctionRange do_it{.start = 0xffffffff81000100, .end = 0xffffffff81000180};
    EXPECT_TRUE(find_kernel_function(kInOrder, "do_it") == do_it);
    EXPECT_EQ(find_kernel_function(kInOrder, "_text")->end, 0xffffffff81000100);
    const FunctionRange variant{.start = 0x1000, .end = 0x1080};
    EXPECT_TRUE(find_kernel_function("1000 t swap_in.isra.0\n1080 t next\n", "swap_in") == variant);
}

TEST(KernelSymbols, WhatIsNoFunctionIsNotFound)
{
    for (const char* name : {"do", "it", "do_it_three", "last", "", "text"})
        EXPECT_FALSE(find_kernel_function(kInOrder, name)) << name;
    EXPECT_FALSE(find_kernel_function("", "do_it"));
    EXPECT_FALSE(find_kernel_function("0000000000000000 T do_it\n0000000000000000 T b\n", "do_it"));
    EXPECT_FALSE(find_kernel_function(" T do_it\n", "do_it"));
    EXPECT_FALSE(find_kernel_function("1000 T do_it", "do_it"));
    EXPECT_FALSE(find_kernel_function("1000 t do_it.cold\n1080 t next\n", "do_it"));
}

} // namespace
} // namespace vtrace
