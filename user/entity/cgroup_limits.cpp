// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_limits.h"

#include "base/files.h"
#include "base/numbers.h"
#include "entity/mountinfo.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace vtrace {
namespace {

std::string text_of(const std::string& path)
{
    const auto text = read_file(path);
    return text ? *text : "";
}

} // namespace

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
    if (const auto own = quota(path))
        limits.cpus = own->cpus();
    limits.memory_bytes = memory(path);
    return limits;
}

std::optional<CpuQuota> LimitReader::quota(const std::string& path) const
{
    if (v1_cpu_.empty()) {
        const std::string max = text_of(v2_ + path + "/cpu.max");
        return quota_of_cpu_max(max, text_of(v2_ + path + "/cpu.max.burst"));
    }
    const std::string cgroup = v1_cpu_ + path;
    return quota_of_cfs(text_of(cgroup + "/cpu.cfs_quota_us"),
                        text_of(cgroup + "/cpu.cfs_period_us"),
                        text_of(cgroup + "/cpu.cfs_burst_us"));
}

std::optional<QuotaCounts> LimitReader::quota_counts(const std::string& path) const
{
    return vtrace::quota_counts(text_of((v1_cpu_.empty() ? v2_ : v1_cpu_) + path + "/cpu.stat"));
}

std::optional<uint64_t> LimitReader::memory(const std::string& path) const
{
    return memory_limit(v1_memory_.empty() ? text_of(v2_ + path + "/memory.max")
                                           : text_of(v1_memory_ + path + "/memory.limit_in_bytes"));
}

std::optional<MemoryCounts> LimitReader::memory_counts(const std::string& path) const
{
    const auto page_bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::string cgroup = (v1_memory_.empty() ? v2_ : v1_memory_) + path;
    MemoryFiles files{.stat = text_of(cgroup + "/memory.stat")};
    if (files.stat.empty())
        return std::nullopt;
    // On a hybrid host a container is in a cgroup of the same path there.
    files.pressure = v2_.empty() ? "" : text_of(v2_ + path + "/memory.pressure");
    if (v1_memory_.empty()) {
        files.events = text_of(cgroup + "/memory.events");
        return cgroup_memory_v2(files, page_bytes);
    }
    files.failures = text_of(cgroup + "/memory.failcnt");
    files.oom = text_of(cgroup + "/memory.oom_control");
    return cgroup_memory_v1(files, page_bytes);
}

} // namespace vtrace
