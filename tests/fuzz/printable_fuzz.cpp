// SPDX-License-Identifier: GPL-2.0-only
// The first byte is a width, the rest a name.
#include "base/printable.h"

#include "require.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace vtrace;
    if (size == 0)
        return 0;
    const size_t width = data[0];
    const std::string_view name(reinterpret_cast<const char*>(data) + 1, size - 1);
    const std::string text = printable(name);
    fuzz::require(fuzz::harmless(text), "the result is printable", text);
    fuzz::require(printable(text) == text, "what is printable stays", text);
    fuzz::require(!fuzz::harmless(name) || text == name, "what is harmless stays", name);

    for (const bool utf8 : {false, true}) {
        const std::string cut = shorten(text, width, utf8);
        fuzz::require(columns(cut) <= width, "no wider than asked", cut);
        fuzz::require(fuzz::harmless(cut), "no code point is cut", cut);
        fuzz::require(columns(text) > width || cut == text, "what fits stays", cut);
        (void)shorten(name, width, utf8);
    }
    return 0;
}
