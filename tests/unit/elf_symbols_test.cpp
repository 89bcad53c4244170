// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/elf_symbols.h"

#include "base/fd.h"
#include "base/files.h"
#include "support.h"
#include "symbol/process_maps.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

extern "C" [[gnu::noinline]] int vtrace_test_function(int x)
{
    return x + 1;
}

namespace vtrace {
namespace {

Result<ElfSymbols> read_elf(const std::string& path)
{
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return ElfSymbols::read(fd.get());
}

TEST(ElfSymbols, NamesAFunctionOfThisProgram)
{
    const auto address = reinterpret_cast<uint64_t>(&vtrace_test_function);
    const auto maps = read_maps(static_cast<uint32_t>(::getpid()));
    ASSERT_TRUE(maps);
    const Mapping* map = find_mapping(*maps, address);
    ASSERT_NE(map, nullptr);
    const auto symbols = read_elf("/proc/self/exe");
    ASSERT_TRUE(symbols);
    EXPECT_EQ(symbols->find(address - map->start + map->offset), "vtrace_test_function");
    EXPECT_EQ(symbols->find(0), "");
    EXPECT_EQ(symbols->find(~0ULL), "");
}

TEST(ElfSymbols, WhatIsNoElfFileIsAnError)
{
    const test::TempDir dir;
    for (const std::string content : {"",
                                      "\x7f"
                                      "ELF",
                                      "#!/bin/sh\n"}) {
        dir.write("file", content);
        EXPECT_FALSE(read_elf(dir.path() + "/file")) << content;
    }
    EXPECT_FALSE(ElfSymbols::read(-1));
}

// Every cut of a real file, and every byte of its headers turned around: no crash, whatever comes out.
TEST(ElfSymbols, DamagedFilesDoNoHarm)
{
    const auto whole = read_file("/bin/true");
    ASSERT_TRUE(whole);
    for (size_t size = 0; size < whole->size(); size += whole->size() / 97 + 1) {
        const auto symbols = ElfSymbols::read(whole->data(), size);
        if (symbols) {
            EXPECT_EQ(symbols->find(~0ULL), "");
        }
    }
    constexpr size_t kHeaders = 1024;
    for (size_t at = 0; at < std::min(kHeaders, whole->size()); at++) {
        std::string damaged = *whole;
        damaged[at] = static_cast<char>(~damaged[at]);
        if (const auto symbols = ElfSymbols::read(damaged.data(), damaged.size())) {
            EXPECT_EQ(symbols->find(~0ULL), "");
        }
    }
}

} // namespace
} // namespace vtrace
