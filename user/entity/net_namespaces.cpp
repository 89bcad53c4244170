// SPDX-License-Identifier: GPL-2.0-only
#include "entity/net_namespaces.h"

#include "base/files.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

namespace vtrace {
namespace {

namespace fs = std::filesystem;

// Of what the path leads to; 0: there is nothing, or it may not be looked at.
uint64_t inode_of(const std::string& path)
{
    struct stat st = {};
    return ::stat(path.c_str(), &st) == 0 ? st.st_ino : 0;
}

uint32_t namespace_at(const std::string& path)
{
    return static_cast<uint32_t>(inode_of(path));
}

// The names of a directory's entries that `wanted` takes.
template <typename Wanted>
std::vector<std::string> names_in(const std::string& directory, Wanted wanted)
{
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
         entry.increment(error)) {
        std::string name = entry->path().filename().string();
        if (wanted(name))
            names.push_back(std::move(name));
    }
    return names;
}

bool is_pid(const std::string& name)
{
    return std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

// Of the line "HIERARCHY:CONTROLLERS:PATH"; nothing if the process has gone.
std::optional<std::string> cgroup_path(const std::string& process, int hierarchy)
{
    const auto text = read_file(process + "/cgroup");
    if (!text)
        return std::nullopt;
    for (const std::string_view line : split(*text, '\n')) {
        const size_t first = line.find(':');
        const size_t second = line.find(':', first + 1);
        if (second != std::string_view::npos && line.substr(0, first) == std::to_string(hierarchy))
            return std::string(line.substr(second + 1));
    }
    return std::nullopt;
}

} // namespace

std::string common_cgroup(std::string_view one, std::string_view other)
{
    std::string common;
    const auto ones = split(one, '/');
    const auto others = split(other, '/');
    for (size_t i = 0; i < std::min(ones.size(), others.size()) && ones[i] == others[i]; i++) {
        common += '/';
        common += ones[i];
    }
    if (common.empty())
        common += '/';
    return common;
}

NetNamespaces::NetNamespaces(CgroupHierarchy hierarchy, std::string proc, std::string named)
    : hierarchy_(std::move(hierarchy)), proc_(std::move(proc)), named_(std::move(named))
{
}

NetNamespaces::Facts NetNamespaces::read()
{
    processes_.clear();
    Facts facts;
    std::map<uint32_t, std::string> paths; // of their cgroups
    const uint32_t host = namespace_at(proc_ + "/1/ns/net");
    if (host != 0) {
        facts[host] = {.inum = host, .host = true};
        paths.emplace(host, "/");
        processes_[host] = 1;
    }
    for (const std::string& pid : names_in(proc_, is_pid)) {
        const std::string process = proc_ + "/" + pid;
        const uint32_t inum = namespace_at(process + "/ns/net");
        if (inum == 0 || inum == host)
            continue;
        const auto path = cgroup_path(process, hierarchy_.kernel_id);
        if (!path)
            continue;
        facts.try_emplace(inum, NetNamespaceFact{.inum = inum});
        std::from_chars(pid.data(), pid.data() + pid.size(), processes_[inum]);
        const auto [at, is_new] = paths.try_emplace(inum, *path);
        if (!is_new)
            at->second = common_cgroup(at->second, *path);
    }
    for (const auto& [inum, path] : paths)
        facts[inum].cgroup_id = inode_of(hierarchy_.mount_point + path);
    for (const std::string& name : names_in(named_, [](const std::string&) { return true; })) {
        const uint32_t inum = namespace_at(named_ + "/" + name);
        if (inum == 0)
            continue;
        NetNamespaceFact& fact = facts[inum];
        fact.inum = inum;
        fact.name = name;
    }
    return facts;
}

void NetNamespaces::look()
{
    before_ = std::exchange(now_, read());
}

std::vector<NetNamespaceFact> NetNamespaces::facts() const
{
    Facts all = now_;
    all.insert(before_.begin(), before_.end());
    std::vector<NetNamespaceFact> facts;
    for (auto& [inum, fact] : all)
        facts.push_back(std::move(fact));
    return facts;
}

} // namespace vtrace
