// SPDX-License-Identifier: GPL-2.0-only
// The text of /proc/PID/maps: a process gives its mappings what names it likes.
#include "require.h"
#include "symbol/frame_names.h"
#include "symbol/process_maps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace vtrace;

// As the kernel would write it.
std::string line_of(const Mapping& map)
{
    return fmt::format("{:x}-{:x} {} {:x} 00:00 {} {}{}\n", map.start, map.end,
                       map.executable ? "r-xp" : "rw-p", map.offset, map.inode, map.path,
                       map.deleted ? " (deleted)" : "");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const std::vector<Mapping> maps = parse_maps(text);
    fuzz::require(std::ranges::is_sorted(maps, {}, &Mapping::start), "mappings are by address");
    for (const Mapping& map : maps) {
        fuzz::require(text.find(map.path) != std::string_view::npos, "a path is of the text");
        fuzz::require(parse_maps(line_of(map)) == std::vector{map}, "a line says it all",
                      line_of(map));
        for (const uint64_t address : {map.start, map.end, map.end - 1}) {
            const Mapping* found = find_mapping(maps, address);
            fuzz::require(found == nullptr || (found->start <= address && address < found->end),
                          "an address lies in its mapping");
        }
    }
    constexpr uint32_t kNoProcess = 0xfffffff0;
    if (!maps.empty()) {
        const std::vector<uint64_t> frames{maps.front().start, maps.back().end};
        const auto names = FrameNames().user(kNoProcess, maps, frames);
        fuzz::require(!names.empty() && names.size() <= frames.size(), "frames have names");
    }
    return 0;
}
