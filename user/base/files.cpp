// SPDX-License-Identifier: GPL-2.0-only
#include "base/files.h"

#include "base/fd.h"

#include <fcntl.h>

#include <array>
#include <cerrno>

namespace vtrace {

Result<std::string> read_fd(int fd, const std::string& name)
{
    std::string content;
    std::array<char, 32768> block{};
    for (;;) {
        const ssize_t n = ::read(fd, block.data(), block.size());
        if (n == 0)
            return content;
        if (n > 0)
            content.append(block.data(), static_cast<size_t>(n));
        else if (errno != EINTR && errno != EAGAIN)
            return errno_error("cannot read " + name);
    }
}

Result<std::string> read_file(const std::string& path)
{
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd)
        return errno_error("cannot open " + path);
    return read_fd(fd.get(), path);
}

Status write_all(int fd, std::string_view bytes, const std::string& name)
{
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n >= 0)
            bytes.remove_prefix(static_cast<size_t>(n));
        else if (errno != EINTR)
            return errno_error("cannot write to " + name);
    }
    return ok();
}

std::vector<std::string_view> split(std::string_view text, char separator)
{
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const size_t end = text.find(separator);
        const std::string_view part = text.substr(0, end);
        if (!part.empty())
            parts.push_back(part);
        if (end == std::string_view::npos)
            break;
        text.remove_prefix(end + 1);
    }
    return parts;
}

} // namespace vtrace
