// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/elf_symbols.h"

#include "base/fd.h"
#include "base/files.h"
#include "support.h"
#include "symbol/process_maps.h"

#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
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

// A sparse file costs nothing to make: what it says of itself must not be read into memory.
TEST(ElfSymbols, TablesTooLargeAreLeftOut)
{
    const auto whole =
        read_file(std::string(VTRACE_FIXTURES) + "/../fuzz/corpus/elf_symbols/program");
    ASSERT_TRUE(whole);
    const auto name_in = [](const std::string& content, off_t size) {
        const test::TempDir dir;
        dir.write("file", content);
        const std::string path = dir.path() + "/file";
        EXPECT_EQ(::truncate(path.c_str(), size), 0);
        const auto symbols = read_elf(path);
        EXPECT_TRUE(symbols);
        std::string found;
        for (uint64_t offset = 0; symbols && offset < content.size() && found.empty(); offset++)
            found = symbols->find(offset);
        return found;
    };
    constexpr off_t kHuge = off_t{1} << 34U;
    EXPECT_EQ(name_in(*whole, static_cast<off_t>(whole->size())), "two");
    EXPECT_EQ(name_in(*whole, kHuge), "two");

    Elf64_Ehdr header{};
    std::memcpy(&header, whole->data(), sizeof(header));
    for (unsigned i = 0; i < header.e_shnum; i++) {
        const size_t at = header.e_shoff + i * sizeof(Elf64_Shdr);
        Elf64_Shdr section{};
        std::memcpy(&section, whole->data() + at, sizeof(section));
        if (section.sh_type != SHT_SYMTAB && section.sh_type != SHT_STRTAB)
            continue;
        section.sh_size = static_cast<uint64_t>(kHuge) - section.sh_offset;
        std::string content = *whole;
        std::memcpy(content.data() + at, &section, sizeof(section));
        // The names of sections are in a table of their own.
        EXPECT_EQ(name_in(content, kHuge), i == header.e_shstrndx ? "two" : "") << i;
    }
}

} // namespace
} // namespace vtrace
