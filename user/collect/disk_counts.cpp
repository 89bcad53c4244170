// SPDX-License-Identifier: GPL-2.0-only
#include "collect/disk_counts.h"

#include "base/files.h"
#include "base/numbers.h"

#include <array>
#include <optional>
#include <vector>

namespace vtrace {
namespace {

// In 512-byte units whatever the disk's own are.
constexpr uint64_t kSector = 512;
constexpr uint64_t kNsPerMs = 1'000'000;

// I/Os, merges, sectors and milliseconds of one kind.
struct Columns {
    size_t ios;
    size_t sectors; // 0: none
    size_t ms;
};
// After major, minor and name. Discards since 4.18, flushes since 5.5.
constexpr std::array<Columns, 4> kKinds = {{{3, 5, 6}, {7, 9, 10}, {14, 16, 17}, {18, 0, 19}}};

std::optional<DiskCount> count_of(const std::vector<std::string_view>& fields)
{
    DiskCount count{.name = std::string(fields[2])};
    const auto field = [&](size_t at) -> std::optional<uint64_t> {
        return at < fields.size() ? whole_number(fields[at]) : 0;
    };
    for (const Columns& kind : kKinds) {
        const auto ios = field(kind.ios);
        const auto sectors = kind.sectors == 0 ? 0 : field(kind.sectors);
        const auto ms = field(kind.ms);
        if (!ios || !sectors || !ms)
            return std::nullopt;
        count.ios += *ios;
        count.bytes += *sectors * kSector;
        count.ns += *ms * kNsPerMs;
    }
    return count;
}

} // namespace

DiskCounts disk_counts(std::string_view diskstats)
{
    constexpr size_t kLeast = 11; // fields of a line
    DiskCounts counts;
    for (const std::string_view line : split(diskstats, '\n')) {
        const auto fields = split(line, ' ');
        if (fields.size() < kLeast)
            continue;
        const auto major = whole_number(fields[0]);
        const auto minor = whole_number(fields[1]);
        auto count = count_of(fields);
        if (major && minor && count)
            counts[static_cast<uint32_t>(*major << 20 | *minor)] = std::move(*count);
    }
    return counts;
}

} // namespace vtrace
