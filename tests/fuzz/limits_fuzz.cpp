// SPDX-License-Identifier: GPL-2.0-only
// Limits of rules from any text: what is taken is in order, what is not says why.
#include "diagnose/limits_file.h"
#include "require.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    using namespace vtrace;
    const auto limits = parse_limits(text);
    if (!limits) {
        fuzz::require(!limits.error().message().empty(), "an error says what is wrong");
        return 0;
    }
    for (const auto& [rule, l] : *limits)
        fuzz::require(l.p3 >= 0 && l.p3 <= l.p2 && l.p2 <= l.p1 && l.p1 <= l.p0,
                      "limits are in order");
    return 0;
}
