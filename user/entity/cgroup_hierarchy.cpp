// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_hierarchy.h"

#include "base/files.h"
#include "base/printable.h"
#include "entity/mountinfo.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace vtrace {
namespace {

uint32_t number(std::string_view text)
{
    uint32_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

} // namespace

Result<CgroupHierarchy> hierarchy_of(std::string_view controller, std::string_view mountinfo,
                                     std::string_view cgroups)
{
    Mount v2;
    Mount v1;
    for (const Mount& mount : parse_mountinfo(mountinfo)) {
        const auto options = split(mount.super_options, ',');
        const bool has_it =
            controller != kOnlyV2 && std::ranges::find(options, controller) != options.end();
        if (mount.type == "cgroup2")
            prefer_whole(v2, mount);
        else if (mount.type == "cgroup" && has_it)
            prefer_whole(v1, mount);
    }
    CgroupHierarchy found{.controller = std::string(controller)};
    found.v1 = !v1.mount_point.empty();
    found.mount_point = found.v1 ? v1.mount_point : v2.mount_point;
    if (found.mount_point.empty())
        return Error{.what = controller == kOnlyV2
                                 ? "no cgroup v2 is mounted, and sockets belong to cgroups of v2"
                                 : "no cgroup hierarchy is mounted",
                     .hint = "mount one: mount -t cgroup2 none /sys/fs/cgroup",
                     .exit = ExitCode::kNotPossible};
    // Columns: subsystem, hierarchy, number of cgroups, enabled.
    for (const std::string_view line : split(cgroups, '\n')) {
        const auto fields = split(line, '\t');
        if (fields.size() < 3 || fields[0] != controller)
            continue;
        found.kernel_id = found.v1 ? static_cast<int>(number(fields[1])) : 0;
        found.cgroups = number(fields[2]);
    }
    // 0 is v2's: its figures would be shown as those of v1.
    if (found.v1 && found.kernel_id <= 0)
        return Error{.what =
                         "cannot tell the number of the " + found.controller + " cgroup hierarchy",
                     .hint = "/proc/cgroups has to be readable",
                     .exit = ExitCode::kNotPossible};
    return found;
}

Result<CgroupHierarchy> hierarchy_of(std::string_view controller)
{
    const auto mountinfo = read_file("/proc/self/mountinfo");
    if (!mountinfo)
        return mountinfo.error();
    const auto cgroups = read_file("/proc/cgroups");
    auto found = hierarchy_of(controller, *mountinfo, cgroups ? *cgroups : "");
    if (!found || found->v1)
        return found;
    // On v2, /proc/cgroups counts those with that controller only.
    const auto stat = read_file(found->mount_point + "/cgroup.stat");
    constexpr std::string_view kKey = "nr_descendants ";
    if (stat && stat->starts_with(kKey))
        found->cgroups = 1 + number(std::string_view(*stat).substr(kKey.size()));
    return found;
}

Result<uint64_t> find_cgroup(const CgroupHierarchy& hierarchy, const std::string& path)
{
    const auto usage = [&](std::string why) {
        return Error{.what = "--cgroup=" + printable(path) + ": " + std::move(why),
                     .hint = "paths start at " + hierarchy.mount_point +
                             ", for example --cgroup=/docker",
                     .exit = ExitCode::kUsage};
    };
    std::string inside = path;
    if (path == hierarchy.mount_point || path.starts_with(hierarchy.mount_point + "/"))
        inside = path.substr(hierarchy.mount_point.size());
    if (path.find('\0') != std::string::npos)
        return usage("not a path");
    for (const std::string_view part : split(inside, '/')) {
        if (part == "..")
            return usage("leaves the cgroup hierarchy " + hierarchy.label());
    }
    struct stat st = {};
    const std::string full = hierarchy.mount_point + "/" + inside;
    if (::stat(full.c_str(), &st) != 0) {
        if (errno == ENOENT && ::stat(path.c_str(), &st) == 0)
            return usage("is outside the cgroup hierarchy " + hierarchy.label());
        if (errno == ENOENT)
            return usage("no such cgroup in hierarchy " + hierarchy.label());
        return usage(std::string("cannot be looked up (errno ") + std::to_string(errno) + ")");
    }
    if (!S_ISDIR(st.st_mode))
        return usage("is a file, not a cgroup");
    return static_cast<uint64_t>(st.st_ino);
}

} // namespace vtrace
