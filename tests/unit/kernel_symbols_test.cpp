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

TEST(KernelSymbols, FindsTheCodeOfFunctions)
{
    const auto found = find_kernel_functions(kInOrder, {"do_it", "_text", "gone"});
    EXPECT_EQ(found.size(), 2U);
    EXPECT_TRUE(found.at("do_it") ==
                (FunctionRange{.start = 0xffffffff81000100, .end = 0xffffffff81000180}));
    EXPECT_EQ(found.at("_text").end, 0xffffffff81000100);
}

TEST(KernelSymbols, FindsTheVariantThatTheCompilerMade)
{
    const auto found = find_kernel_functions(
        "1000 t swap_in.isra.0\n1080 t next.cold\n1100 t last\n", {"swap_in", "next"});
    EXPECT_EQ(found.size(), 1U);
    EXPECT_EQ(found.at("swap_in").end, 0x1080U);
}

TEST(KernelSymbols, WhatIsNoFunctionIsNotFound)
{
    for (const char* name : {"do", "it", "do_it_three", "last", "", "text"})
        EXPECT_TRUE(find_kernel_functions(kInOrder, {name}).empty()) << name;
    for (const char* text : {"", "0000000000000000 T do_it\n0000000000000000 T b\n", " T do_it\n",
                             "1000 T do_it", "1000 t do_it.cold\n1080 t next\n"})
        EXPECT_TRUE(find_kernel_functions(text, {"do_it"}).empty()) << text;
}

} // namespace
} // namespace vtrace
