// SPDX-License-Identifier: GPL-2.0-only
#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace vtrace {

std::string Error::message() const
{
    std::string text = what;
    if (code != 0)
        text += std::string(": ") + std::strerror(code);
    if (!hint.empty())
        text += "; " + hint;
    return text;
}

Error errno_error(std::string what, std::string hint)
{
    return {.what = std::move(what), .code = errno, .hint = std::move(hint)};
}

} // namespace vtrace
