// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/elf_symbols.h"

#include <gelf.h>
#include <libelf.h>

#include <memory>

namespace vtrace {

using ElfHandle = std::unique_ptr<Elf, decltype([](Elf* elf) { elf_end(elf); })>;

// What a hostile file may cost: sparse, it is small and says that it is large.
constexpr uint64_t kMostBytes = 512U << 20U; // of tables and their strings
constexpr size_t kMostSegments = 4096;
constexpr size_t kMostNames = 256U << 20U; // bytes; tables can name one long string again and again

struct ElfReader {
    Elf* elf;
    ElfSymbols symbols{};
    uint64_t bytes = 0; // read by now

    static Result<ElfSymbols> read(const ElfHandle& elf)
    {
        if (!elf || elf_kind(elf.get()) != ELF_K_ELF)
            return Error{.what = "not an ELF file"};
        ElfReader reader{.elf = elf.get()};
        reader.add_segments();
        reader.add_tables();
        return std::move(reader.symbols);
    }

    void add_segments()
    {
        size_t count = 0;
        if (elf_getphdrnum(elf, &count) != 0 || count > kMostSegments)
            return;
        for (size_t i = 0; i < count; i++) {
            GElf_Phdr header{};
            if (gelf_getphdr(elf, static_cast<int>(i), &header) != nullptr &&
                header.p_type == PT_LOAD && (header.p_flags & PF_X) != 0)
                symbols.segments_.push_back({.offset = header.p_offset,
                                             .size = header.p_filesz,
                                             .address = header.p_vaddr});
        }
    }

    // A full table first, whose names are then preferred; a stripped file has the dynamic one.
    void add_tables()
    {
        for (const GElf_Word type : {GElf_Word{SHT_SYMTAB}, GElf_Word{SHT_DYNSYM}}) {
            for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr;
                 section = elf_nextscn(elf, section)) {
                GElf_Shdr header{};
                if (gelf_getshdr(section, &header) != nullptr && header.sh_type == type)
                    add_table(section, header);
            }
        }
        symbols.table_.sort();
    }

    // libelf reads a section whole, as soon as anything of it is asked for.
    bool afford(const GElf_Shdr& header)
    {
        if (header.sh_size > kMostBytes - bytes)
            return false;
        bytes += header.sh_size;
        return true;
    }

    void add_table(Elf_Scn* section, const GElf_Shdr& header)
    {
        GElf_Shdr strings{};
        if (header.sh_entsize == 0 ||
            gelf_getshdr(elf_getscn(elf, header.sh_link), &strings) == nullptr || !afford(header) ||
            !afford(strings))
            return;
        Elf_Data* data = elf_getdata(section, nullptr);
        if (data == nullptr)
            return;
        const uint64_t count = header.sh_size / header.sh_entsize;
        for (uint64_t i = 0; i < count && symbols.table_.bytes() < kMostNames; i++) {
            GElf_Sym symbol{};
            if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr)
                return;
            const auto type = GELF_ST_TYPE(symbol.st_info);
            if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol.st_shndx == SHN_UNDEF)
                continue;
            if (const char* name = elf_strptr(elf, header.sh_link, symbol.st_name))
                symbols.table_.add(symbol.st_value, symbol.st_size, name);
        }
    }
};

Result<ElfSymbols> ElfSymbols::read(int fd)
{
    elf_version(EV_CURRENT);
    // Not by mmap: a file that is cut short meanwhile would end vtrace by a signal.
    return ElfReader::read(ElfHandle(elf_begin(fd, ELF_C_READ, nullptr)));
}

Result<ElfSymbols> ElfSymbols::read(const char* image, size_t size)
{
    elf_version(EV_CURRENT);
    std::string copy(image, size); // libelf wants to be able to write
    return ElfReader::read(ElfHandle(elf_memory(copy.data(), copy.size())));
}

std::string_view ElfSymbols::find(uint64_t file_offset) const
{
    for (const Segment& segment : segments_) {
        if (file_offset >= segment.offset && file_offset - segment.offset < segment.size)
            return table_.find(file_offset - segment.offset + segment.address);
    }
    return {};
}

} // namespace vtrace
