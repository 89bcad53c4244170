// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/perf_map.h"

#include "base/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <vector>

namespace vtrace {
namespace {

bool take_hex(std::string_view& line, uint64_t& value)
{
    if (line.starts_with("0x"))
        line.remove_prefix(2);
    const auto [at, error] = std::from_chars(line.begin(), line.end(), value, 16);
    if (error != std::errc{} || at == line.end() || *at != ' ')
        return false;
    line.remove_prefix(static_cast<size_t>(at - line.begin()) + 1);
    return true;
}

// A link in the process's tree must not lead out of it.
Fd open_below(const Fd& root, const std::string& path)
{
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    return Fd(
        static_cast<int>(::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof(how))));
}

} // namespace

SymbolTable parse_perf_map(std::string_view text)
{
    SymbolTable table;
    // Of two at one address the first that is added is kept.
    const auto lines = split(text, '\n');
    std::for_each(lines.rbegin(), lines.rend(), [&](std::string_view line) {
        uint64_t start = 0;
        uint64_t size = 0;
        if (take_hex(line, start) && take_hex(line, size) && size != 0)
            table.add(start, size, line);
    });
    table.sort();
    return table;
}

std::optional<uint32_t> innermost_pid(std::string_view status)
{
    constexpr std::string_view kKey = "\nNSpid:";
    const size_t key = status.find(kKey);
    if (key == std::string_view::npos)
        return {};
    status.remove_prefix(key + kKey.size());
    const std::string_view line = status.substr(0, status.find('\n'));
    const size_t last = line.find_last_of("\t ");
    uint32_t pid = 0;
    if (last == std::string_view::npos ||
        std::from_chars(line.begin() + last + 1, line.end(), pid).ec != std::errc{})
        return {};
    return pid;
}

Fd open_perf_map(uint32_t pid)
{
    const std::string process = fmt::format("/proc/{}", pid);
    const auto status = read_file(process + "/status");
    const auto own = status ? innermost_pid(*status) : std::nullopt;
    struct stat owner {};
    struct stat file {};
    const Fd root(::open((process + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!own || !root || ::stat(process.c_str(), &owner) != 0)
        return {};
    Fd fd = open_below(root, fmt::format("tmp/perf-{}.map", *own));
    if (!fd || ::fstat(fd.get(), &file) != 0 || !S_ISREG(file.st_mode) ||
        (file.st_uid != 0 && file.st_uid != owner.st_uid))
        return {};
    return fd;
}

std::string read_perf_map(const Fd& map)
{
    constexpr off_t kMost = 32U << 20U;
    struct stat status {};
    if (::fstat(map.get(), &status) != 0)
        return {};
    std::string text(static_cast<size_t>(std::min(status.st_size, kMost)), '\0');
    const ssize_t size =
        ::pread(map.get(), text.data(), text.size(), std::max<off_t>(status.st_size - kMost, 0));
    text.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
    return text;
}

} // namespace vtrace
