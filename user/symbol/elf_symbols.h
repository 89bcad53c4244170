// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "symbol/symbol_table.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace vtrace {

// The functions of a program or a library, and where its file's bytes go in memory.
class ElfSymbols {
public:
    // Reads the file behind a descriptor. Safe on hostile files, also on one that changes while it is read.
    static Result<ElfSymbols> read(int fd);
    // The same of an image in memory: the vdso.
    static Result<ElfSymbols> read(const char* image, size_t size);

    // The name of the function that lies at this offset of the file; empty if that is not known.
    [[nodiscard]] std::string_view find(uint64_t file_offset) const;
    [[nodiscard]] size_t bytes() const { return table_.bytes(); }

private:
    struct Segment {
        uint64_t offset = 0;
        uint64_t size = 0;
        uint64_t address = 0;
    };
    friend struct ElfReader;

    std::vector<Segment> segments_;
    SymbolTable table_;
};

} // namespace vtrace
