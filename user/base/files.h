// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// The whole of a (small, often virtual) file.
Result<std::string> read_file(const std::string& path);

// Writes all bytes to fd, or fails with errno.
Status write_all(int fd, std::string_view bytes, const std::string& name);

// Reads fd to its end; restarts on EINTR.
Result<std::string> read_fd(int fd, const std::string& name);

// Non-empty pieces of text between separators.
std::vector<std::string_view> split(std::string_view text, char separator);

} // namespace vtrace
