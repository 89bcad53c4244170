// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// What a target of a kind, or a "disk", can be called, by the part of it that is typed.
using KnownNames =
    std::function<std::vector<std::string>(const std::string& kind, const std::string& typed)>;

// Candidates for the last of `words` (the words behind `vtrace`, as they are typed in a shell), one per
// line. Names are escaped for the shell; those that cannot be shown on a line are left out.
std::string complete(const std::vector<std::string>& words, const KnownNames& known);

// The script that asks `vtrace __complete`.
std::string_view bash_completion();

} // namespace vtrace
