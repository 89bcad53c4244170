// SPDX-License-Identifier: GPL-2.0-only
#include "entity/mountinfo.h"

#include "base/files.h"

#include <algorithm>

namespace vtrace {
namespace {

// Space, tab, newline and backslash are written as three octal digits.
std::string unescape(std::string_view text)
{
    const auto octal = [](char c) { return c >= '0' && c <= '7'; };
    std::string out;
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] <= '3' && octal(text[i + 1]) &&
            octal(text[i + 2]) && octal(text[i + 3])) {
            out += static_cast<char>((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 |
                                     (text[i + 3] - '0'));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

// Fields may be empty: `mount -t cgroup2 "" /mnt` has no source.
std::vector<std::string_view> fields_of(std::string_view line)
{
    std::vector<std::string_view> fields;
    for (;;) {
        const size_t end = line.find(' ');
        fields.push_back(line.substr(0, end));
        if (end == std::string_view::npos)
            return fields;
        line.remove_prefix(end + 1);
    }
}

} // namespace

std::vector<Mount> parse_mountinfo(std::string_view text)
{
    constexpr size_t kRoot = 3;
    constexpr size_t kMountPoint = 4;
    std::vector<Mount> mounts;
    for (const std::string_view line : split(text, '\n')) {
        const auto fields = fields_of(line);
        // A dash ends the optional fields; behind it: type, source, options of the superblock.
        const auto dash = static_cast<size_t>(std::ranges::find(fields, "-") - fields.begin());
        if (dash <= kMountPoint || fields.size() < dash + 4)
            continue;
        mounts.push_back({.root = unescape(fields[kRoot]),
                          .mount_point = unescape(fields[kMountPoint]),
                          .type = std::string(fields[dash + 1]),
                          .super_options = std::string(fields[dash + 3])});
    }
    return mounts;
}

void prefer_whole(Mount& chosen, const Mount& mount)
{
    if (chosen.mount_point.empty() || (chosen.root != "/" && mount.root == "/"))
        chosen = mount;
}

} // namespace vtrace
