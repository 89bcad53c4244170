// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/process_image.h"

#include "base/files.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <charconv>

namespace vtrace {
namespace {

// Numbers behind the name of the program, counted as in proc(5), where the first is field 3.
bool number_at(const std::vector<std::string_view>& fields, size_t field, uint64_t& value)
{
    constexpr size_t kFirst = 3;
    if (fields.size() <= field - kFirst)
        return false;
    const std::string_view text = fields[field - kFirst];
    const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
    return error == std::errc{} && end == text.end();
}

} // namespace

bool clock_is_of_host()
{
    constexpr ino_t kInitialTimeNamespace = 0xeffffffa; // PROC_TIME_INIT_INO, linux/proc_ns.h
    struct stat status {};
    // A kernel without them is in the initial one.
    return ::stat("/proc/self/ns/time", &status) != 0 || status.st_ino == kInitialTimeNamespace;
}

Result<ProcessImage> parse_image(std::string_view stat)
{
    constexpr size_t kStartTime = 22;
    constexpr size_t kStartCode = 26;
    constexpr size_t kStartStack = 28;
    // The name is in brackets, and may hold some itself.
    const size_t name_end = stat.rfind(')');
    if (name_end == std::string_view::npos)
        return Error{.what = "no process status"};
    stat.remove_prefix(name_end + 1);
    const auto fields = split(stat.substr(0, stat.find('\n')), ' ');
    ProcessImage image;
    if (!number_at(fields, kStartTime, image.start_time) ||
        !number_at(fields, kStartCode, image.start_code) ||
        !number_at(fields, kStartStack, image.start_stack))
        return Error{.what = "no process status"};
    return image;
}

Result<ProcessImage> read_image(uint32_t pid)
{
    const auto text = read_file(fmt::format("/proc/{}/stat", pid));
    if (!text)
        return text.error();
    return parse_image(*text);
}

} // namespace vtrace
