// SPDX-License-Identifier: GPL-2.0-only
// The name of a function, as a program may have it.
#include "require.h"
#include "symbol/demangle.h"

#include <cstddef>
#include <cstdint>
#include <string>

// libiberty forgets a few bytes of a Rust name with a broken Unicode part (print_ident). Leaks of ours are still found.
extern "C" const char* __lsan_default_suppressions() // NOLINT(bugprone-reserved-identifier)
{
    return "leak:print_ident\n";
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace vtrace;
    const std::string name(reinterpret_cast<const char*>(data), size);
    const std::string plain = demangled(name);
    fuzz::require(plain == name || plain.size() <= 4096, "no name grows without end");
    return 0;
}
