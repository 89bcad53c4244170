// SPDX-License-Identifier: GPL-2.0-only
#include "tools/known_names.h"

#include "base/files.h"
#include "collect/block_queues.h"
#include "tools/targets.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace vtrace {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> directories_in(const fs::path& directory)
{
    std::vector<fs::path> found;
    std::error_code error;
    for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
         entry.increment(error)) {
        std::error_code ignored;
        if (!entry->is_symlink(ignored) && entry->is_directory(ignored))
            found.push_back(entry->path());
    }
    return found;
}

} // namespace

std::vector<std::string> cgroups_like(const std::string& mount_point, const std::string& typed)
{
    std::string above = typed.substr(0, typed.rfind('/') + 1); // with its '/'
    if (typed.empty())
        above = "/";
    const auto parts = split(above, '/');
    if (!above.starts_with('/') || std::ranges::find(parts, "..") != parts.end())
        return {};
    std::vector<std::string> names;
    for (const fs::path& directory : directories_in(fs::path(mount_point) += above)) {
        std::string name = above + directory.filename().string();
        if (!name.starts_with(typed))
            continue;
        if (!directories_in(directory).empty())
            name += '/';
        names.push_back(std::move(name));
    }
    return names;
}

std::vector<std::string> disks_like(const std::vector<Disk>& disks, const std::string& typed)
{
    const std::string directory = typed.starts_with('/') ? "/dev/" : "";
    std::vector<std::string> names;
    for (const Disk& disk : disks) {
        if (!disk.bio_based && disk.number != 0)
            names.push_back(directory + disk.name);
    }
    return names;
}

std::vector<std::string> known_names(const std::string& kind, const std::string& typed)
{
    if (kind == "disk")
        return disks_like(disks_present(), typed);
    const auto hierarchy = hierarchy_of(kCpuController);
    if (!hierarchy)
        return {};
    if (kind == "cgroup")
        return cgroups_like(hierarchy->mount_point, typed);
    const auto facts = entities_now(*hierarchy, kind);
    if (!facts)
        return {};
    std::vector<std::string> names;
    for (const EntityFact& fact : *facts)
        names.push_back(fact.name);
    return names;
}

} // namespace vtrace
