// SPDX-License-Identifier: GPL-2.0-only
// The text of cpu.stat, or of cpu.max.
#include "entity/cpu_quota.h"
#include "require.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace vtrace;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (quota_counts(text))
        fuzz::require(text.find("nr_periods ") != std::string_view::npos, "periods are told of");
    if (const auto quota = quota_of_cpu_max(text, text))
        fuzz::require(quota->period_us != 0, "a period has a length");
    return 0;
}
