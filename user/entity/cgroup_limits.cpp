// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_limits.h"

#include "base/files.h"
#include "entity/mountinfo.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace vtrace {
namespace {

std::string_view trimmed(std::string_view text)
{
    while (text.ends_with('\n') || text.ends_with(' '))
        text.remove_suffix(1);
    return text;
}

std::optional<uint64_t> whole_number(std::string_view text)
{
    text = trimmed(text);
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

std::string text_of(const std::string& path)
{
    const auto text = read_file(path);
    return text ? *text : "";
}

} // namespace

std::optional<double> cpus_of_cpu_max(std::string_view text)
{
    const auto fields = split(trimmed(text), ' ');
    return fields.size() == 2 ? cpus_of_cfs(fields[0], fields[1]) : std::nullopt;
}

std::optional<double> cpus_of_cfs(std::string_view quota, std::string_view period)
{
    const auto used = whole_number(quota); // neither "max" nor -1 is one
    const auto of = whole_number(period);
    if (!used || !of || *of == 0)
        return std::nullopt;
    return static_cast<double>(*used) / static_cast<double>(*of);
}

std::optional<uint64_t> memory_limit(std::string_view text)
{
    constexpr uint64_t kNoLimit = uint64_t{1} << 62;
    const auto bytes = whole_number(text);
    return bytes && *bytes < kNoLimit ? bytes : std::nullopt;
}

LimitReader::LimitReader(std::string_view mountinfo)
{
    Mount v2;
    Mount v1_cpu;
    Mount v1_memory;
    for (const Mount& mount : parse_mountinfo(mountinfo)) {
        const auto options = split(mount.super_options, ',');
        const auto has = [&](std::string_view name) {
            return mount.type == "cgroup" && std::ranges::find(options, name) != options.end();
        };
        if (mount.type == "cgroup2")
            prefer_whole(v2, mount);
        if (has("cpu"))
            prefer_whole(v1_cpu, mount);
        if (has("memory"))
            prefer_whole(v1_memory, mount);
    }
    v2_ = std::move(v2.mount_point);
    v1_cpu_ = std::move(v1_cpu.mount_point);
    v1_memory_ = std::move(v1_memory.mount_point);
}

CgroupLimits LimitReader::read(const std::string& path) const
{
    CgroupLimits limits;
    if (!v1_cpu_.empty()) {
        limits.cpus = cpus_of_cfs(text_of(v1_cpu_ + path + "/cpu.cfs_quota_us"),
                                  text_of(v1_cpu_ + path + "/cpu.cfs_period_us"));
    } else {
        limits.cpus = cpus_of_cpu_max(text_of(v2_ + path + "/cpu.max"));
    }
    limits.memory_bytes =
        memory_limit(v1_memory_.empty() ? text_of(v2_ + path + "/memory.max")
                                        : text_of(v1_memory_ + path + "/memory.limit_in_bytes"));
    return limits;
}

} // namespace vtrace
