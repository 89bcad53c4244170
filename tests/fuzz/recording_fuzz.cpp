// SPDX-License-Identifier: GPL-2.0-only
// A recording: whole, or the texts in its frames, which a checksum keeps most inputs away from.
#include "record/recording.h"

#include "require.h"
#include "tools/recorded_options.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace vtrace;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (auto reader = RecordingReader::open(bytes)) {
        for (auto next = reader->next(); next && *next; next = reader->next())
            fuzz::require((*next)->size() == reader->head().tools.size(), "as the head says");
    } else {
        fuzz::require(fuzz::harmless(reader.error().message()), "an error drives no terminal",
                      reader.error().message());
    }
    if (const auto head = load_head(bytes)) {
        const auto again = load_head(save_head(*head));
        fuzz::require(again && *again == *head, "what was saved loads unchanged");
    }
    if (const auto interval = load_interval(bytes)) {
        const auto again = load_interval(save_interval(*interval));
        fuzz::require(again && *again == *interval, "what was saved loads unchanged");
    }
    if (const auto described = describe_recorded_options(bytes))
        fuzz::require(fuzz::harmless(*described), "options drive no terminal", *described);
    return 0;
}
