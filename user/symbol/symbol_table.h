// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// Functions by address. Names lie in one string: a kernel has a hundred thousand of them.
class SymbolTable {
public:
    // size 0: up to the next one.
    void add(uint64_t start, uint64_t size, std::string_view name);
    // To be called once, after the last add().
    void sort();
    // The name of the function that the address is in, empty if there is none.
    [[nodiscard]] std::string_view find(uint64_t address) const;

    [[nodiscard]] bool empty() const { return symbols_.empty(); }
    [[nodiscard]] size_t bytes() const;

private:
    struct Symbol {
        uint64_t start = 0;
        uint64_t size = 0;
        uint32_t name = 0; // its place in names_
        uint32_t length = 0;
    };
    std::vector<Symbol> symbols_;
    std::string names_;
};

} // namespace vtrace
