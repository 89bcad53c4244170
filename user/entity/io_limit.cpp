// SPDX-License-Identifier: GPL-2.0-only
#include "entity/io_limit.h"

#include "base/files.h"
#include "base/numbers.h"

#include <array>
#include <utility>

namespace vtrace {
namespace {

std::string number_of(uint32_t device)
{
    return std::to_string(device >> 20) + ":" + std::to_string(device & 0xfffff);
}

using Field = std::optional<uint64_t> IoLimit::*;

} // namespace

IoLimit io_limit(std::string_view io_max, uint32_t device)
{
    constexpr std::array<std::pair<std::string_view, Field>, 4> kFields = {
        {{"rbps=", &IoLimit::read_bytes},
         {"wbps=", &IoLimit::write_bytes},
         {"riops=", &IoLimit::reads},
         {"wiops=", &IoLimit::writes}}};
    IoLimit limit;
    for (const std::string_view line : split(io_max, '\n')) {
        const auto words = split(line, ' ');
        if (words.empty() || words.front() != number_of(device))
            continue;
        for (const std::string_view word : words) {
            for (const auto& [key, field] : kFields) {
                if (word.starts_with(key)) // "max" is no number
                    limit.*field = whole_number(word.substr(key.size()));
            }
        }
    }
    return limit;
}

std::optional<uint64_t> throttle_limit(std::string_view text, uint32_t device)
{
    for (const std::string_view line : split(text, '\n')) {
        const auto words = split(line, ' ');
        if (words.size() == 2 && words[0] == number_of(device))
            return whole_number(words[1]);
    }
    return std::nullopt;
}

IoLimit read_io_limit(const std::string& directory, uint32_t device)
{
    constexpr std::array<std::pair<std::string_view, Field>, 4> kFiles = {
        {{"read_bps", &IoLimit::read_bytes},
         {"write_bps", &IoLimit::write_bytes},
         {"read_iops", &IoLimit::reads},
         {"write_iops", &IoLimit::writes}}};
    if (const auto v2 = read_file(directory + "/io.max"))
        return io_limit(*v2, device);
    IoLimit limit;
    for (const auto& [name, field] : kFiles) {
        const auto text = read_file(directory + "/blkio.throttle." + std::string(name) + "_device");
        if (text)
            limit.*field = throttle_limit(*text, device);
    }
    return limit;
}

} // namespace vtrace
