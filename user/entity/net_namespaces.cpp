// SPDX-License-Identifier: GPL-2.0-only
#include "entity/net_namespaces.h"

#include "base/files.h"
#include "base/numbers.h"
#include "entity/process_cgroup.h"

#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace vtrace {
namespace {

// Of what the path leads to; 0: there is nothing, or it may not be looked at.
uint64_t inode_of(const std::string& path)
{
    struct stat st = {};
    return ::stat(path.c_str(), &st) == 0 ? st.st_ino : 0;
}

// A process in the host's namespace: the first one, or where that may not be looked at the father of the kernel's
// threads, which stay in it. 0: none is known.
uint32_t in_hosts(const std::string& proc)
{
    if (inode_of(proc + "/1/ns/net") != 0)
        return 1;
    const auto comm = read_file(proc + "/2/comm");
    return comm && trimmed(*comm) == "kthreadd" ? 2 : 0;
}

std::set<std::string> in_both(const std::set<std::string>& one, const std::set<std::string>& other)
{
    std::set<std::string> both;
    std::ranges::set_intersection(one, other, std::inserter(both, both.end()));
    return both;
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

NetNamespaces::NetNamespaces(CgroupHierarchy hierarchy, NetNamespacePlaces places)
    : hierarchy_(std::move(hierarchy)), places_(std::move(places))
{
}

NetNamespaces::Look NetNamespaces::read()
{
    processes_.clear();
    Look look;
    const uint32_t known = in_hosts(places_.proc);
    const auto host =
        static_cast<uint32_t>(inode_of(places_.proc + "/" + std::to_string(known) + "/ns/net"));
    if (host != 0) {
        look[host] = {.host = true, .cgroup = "/"};
        processes_[host] = known;
    }
    for (const NetNamespacePath& at : net_namespace_paths(places_)) {
        if (at.pid == 0) {
            Seen& seen = look[at.inum];
            (at.sandbox ? seen.sandboxes : seen.names).insert(at.name);
            continue;
        }
        if (at.inum == host)
            continue;
        const auto path =
            process_cgroup(places_.proc + "/" + std::to_string(at.pid), hierarchy_.kernel_id);
        if (!path)
            continue;
        processes_[at.inum] = at.pid;
        std::string& cgroup = look[at.inum].cgroup;
        cgroup = cgroup.empty() ? *path : common_cgroup(cgroup, *path);
    }
    for (auto& [inum, seen] : look) {
        if (!seen.cgroup.empty())
            seen.cgroup_id = inode_of(hierarchy_.mount_point + seen.cgroup);
    }
    return look;
}

void NetNamespaces::look()
{
    before_ = std::exchange(now_, read());
}

NetNamespaces::Seen NetNamespaces::agreed(const Seen& before, const Seen& now) const
{
    Seen both = now;
    both.names = in_both(before.names, now.names);
    both.sandboxes = in_both(before.sandboxes, now.sandboxes);
    // With a name that it still has it is the same one, whether its processes come or go.
    const bool same = !both.names.empty() || !both.sandboxes.empty();
    if (before.cgroup == now.cgroup || (same && before.cgroup.empty()))
        return both;
    if (same && now.cgroup.empty()) { // its processes have ended
        both.cgroup = before.cgroup;
        both.cgroup_id = before.cgroup_id;
        return both;
    }
    both.cgroup = common_cgroup(before.cgroup, now.cgroup);
    both.cgroup_id = both.cgroup == "/" ? 0 : inode_of(hierarchy_.mount_point + both.cgroup);
    return both;
}

std::vector<NetNamespaceFact> NetNamespaces::facts() const
{
    Look all = now_;
    for (const auto& [inum, before] : before_) {
        const auto [at, is_new] = all.try_emplace(inum, before);
        if (!is_new)
            at->second = agreed(before, at->second);
    }
    std::vector<NetNamespaceFact> facts;
    for (const auto& [inum, seen] : all) {
        // Docker's own names are better than a number, and no more.
        const auto& names = seen.names.empty() && seen.cgroup_id == 0 ? seen.sandboxes : seen.names;
        facts.push_back({.inum = inum,
                         .host = seen.host,
                         .cgroup_id = seen.cgroup_id,
                         .name = names.empty() ? "" : *names.begin()});
    }
    return facts;
}

} // namespace vtrace
