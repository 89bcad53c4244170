// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/demangle.h"

#include <csetjmp>
#include <cstddef>

extern "C" {
#include <libiberty/demangle.h>
}

namespace vtrace {
namespace {

using Demangler = int (*)(const char*, int, demangle_callbackref, void*);

struct Plain {
    std::string text;
    std::jmp_buf too_long{};
};

void add(const char* part, size_t size, void* to)
{
    constexpr size_t kLongest = 4096;
    auto* plain = static_cast<Plain*>(to);
    // The library has no other way to stop it. It keeps nothing that is to be given back.
    if (plain->text.size() + size > kLongest)
        std::longjmp(plain->too_long, 1); // NOLINT(cert-err52-cpp)
    plain->text.append(part, size);
}

// False if it is no name of that language.
bool demangle(Demangler demangler, const std::string& name, Plain& plain)
{
    plain.text.clear();
    if (setjmp(plain.too_long) != 0) // NOLINT(cert-err52-cpp)
        return false;
    return demangler(name.c_str(), DMGL_PARAMS | DMGL_ANSI, add, &plain) != 0;
}

} // namespace

std::string demangled(const std::string& name)
{
    constexpr size_t kLongest = 2048; // a hostile name can take the demangler long
    if ((!name.starts_with("_Z") && !name.starts_with("_R")) || name.size() > kLongest)
        return name;
    Plain plain;
    // Rust's older names look like those of C++, with a hash behind them.
    for (const Demangler demangler : {rust_demangle_callback, cplus_demangle_v3_callback}) {
        if (demangle(demangler, name, plain))
            return plain.text;
    }
    return name;
}

} // namespace vtrace
