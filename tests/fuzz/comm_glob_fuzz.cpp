// SPDX-License-Identifier: GPL-2.0-only
// A glob and a name, separated by a zero byte; the C library's fnmatch is the oracle.
#include "collect/comm_glob.h"

#include "require.h"

#include <fnmatch.h>

#include <cstddef>
#include <cstdint>

namespace {

// Within brackets the C library knows escapes and classes such as [:alpha:]; vtrace does not.
bool means_the_same(std::string_view pattern)
{
    for (size_t i = 0; i < pattern.size(); i++) {
        if (pattern[i] == '\\') {
            i++;
            continue;
        }
        if (pattern[i] != '[')
            continue;
        size_t end = i + 1;
        if (end < pattern.size() && (pattern[end] == '!' || pattern[end] == '^'))
            end++;
        end = pattern.find(']', end + 1);
        if (end == std::string_view::npos)
            return false;
        const std::string_view brackets = pattern.substr(i + 1, end - i - 1);
        if (brackets.find_first_of("\\[") != std::string_view::npos)
            return false;
        i = end;
    }
    return true;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace vtrace;
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const size_t zero = input.find('\0');
    const std::string pattern(input.substr(0, zero));
    const std::string name(zero == std::string_view::npos ? "" : input.substr(zero + 1));

    const auto glob = compile_comm_glob(pattern);
    if (!glob) {
        fuzz::require(fuzz::harmless(glob.error().message()), "an error is one printable line");
        return 0;
    }
    const bool matched = matches(*glob, name);
    // fnmatch takes time without bound for many stars, and no zero byte.
    if (pattern.size() > 24 || name.size() > 24 || name.find('\0') != std::string::npos ||
        !means_the_same(pattern))
        return 0;
    fuzz::require(matched == (::fnmatch(pattern.c_str(), name.c_str(), 0) == 0), "as fnmatch",
                  pattern);
    return 0;
}
