// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "symbol/elf_symbols.h"
#include "symbol/process_maps.h"
#include "symbol/symbol_table.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace vtrace {

// Device, inode, size, time of the last change.
using FileKey = std::tuple<uint64_t, uint64_t, int64_t, int64_t>;

// Names the frames of stacks, the innermost first. Names are raw bytes: those of a process are what it
// says.
class FrameNames {
public:
    // Of a process as it is now; code that was compiled at run time as its perf-PID.map has it. A frame
    // without a symbol is "[file+0xoffset]"; a stack ends at an address that is no code, with "[unknown]":
    // what lies behind it is not known.
    std::vector<std::string> user(uint32_t pid, const std::vector<Mapping>& maps,
                                  std::span<const uint64_t> frames);
    // Where the kernel hides its symbols a frame is its address.
    std::vector<std::string> kernel(std::span<const uint64_t> frames);
    // Known after kernel(): the kernel hides them (kernel.kptr_restrict).
    [[nodiscard]] bool kernel_hidden() const { return kernel_ && kernel_->empty(); }

private:
    struct CompiledCode {
        FileKey key;
        std::chrono::steady_clock::time_point read;
        SymbolTable table;
    };

    const ElfSymbols* symbols_of(uint32_t pid, const Mapping& map);
    const ElfSymbols* vdso();
    const SymbolTable& compiled_by(uint32_t pid);
    std::string user_frame(uint32_t pid, const Mapping& map, uint64_t address);

    std::map<FileKey, ElfSymbols> files_;
    size_t file_bytes_ = 0;
    std::map<uint32_t, CompiledCode> compiled_; // at run time, by process
    size_t compiled_bytes_ = 0;
    std::optional<ElfSymbols> vdso_;
    std::optional<SymbolTable> kernel_;
};

} // namespace vtrace
