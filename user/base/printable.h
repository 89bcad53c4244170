// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>
#include <string_view>

namespace vtrace {

// A foreign name (comm, cgroup …) made safe for a terminal and for JSON: control characters (C0, DEL, C1),
// bidirectional overrides and bytes that are not UTF-8 become \xNN; all else stays as it is.
std::string printable(std::string_view name);

// Columns that UTF-8 text takes, counting one per code point.
size_t columns(std::string_view text);

// text cut to at most `width` columns, the middle replaced by "…" ("..." without UTF-8): both
// ends of a path matter.
std::string shorten(std::string_view text, size_t width, bool utf8);

} // namespace vtrace
