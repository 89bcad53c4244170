// SPDX-License-Identifier: GPL-2.0-only
// A program or a library, as a process may map it.
#include "base/fd.h"
#include "require.h"
#include "symbol/elf_symbols.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace {

using namespace vtrace;

void look_around(const ElfSymbols& symbols, std::string_view file)
{
    const auto check = [&](uint64_t offset) {
        const std::string_view name = symbols.find(offset);
        fuzz::require(file.find(name) != std::string_view::npos, "a name is of the file", name);
    };
    for (uint64_t offset = 0; offset < file.size(); offset += 4)
        check(offset);
    // Any number of the file may be taken for an address or a size.
    for (size_t at = 0; at + sizeof(uint64_t) <= file.size(); at += sizeof(uint64_t)) {
        uint64_t number = 0;
        std::memcpy(&number, file.data() + at, sizeof(number));
        for (const uint64_t offset : {number - 1, number, number + 1})
            check(offset);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const auto* bytes = reinterpret_cast<const char*>(data);
    if (const auto symbols = ElfSymbols::read(bytes, size))
        look_around(*symbols, {bytes, size});

    const Fd file(::memfd_create("elf", MFD_CLOEXEC));
    fuzz::require(::write(file.get(), bytes, size) == static_cast<ssize_t>(size), "a file is made");
    if (const auto symbols = ElfSymbols::read(file.get()))
        look_around(*symbols, {bytes, size});
    return 0;
}
