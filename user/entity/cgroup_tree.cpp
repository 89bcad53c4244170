// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <string_view>

namespace vtrace {
namespace {

struct CloseDir {
    void operator()(DIR* dir) const { ::closedir(dir); }
};

struct Pending {
    uint64_t id;
    std::string path;
};

} // namespace

Status CgroupTree::scan(const std::string& mount_point)
{
    struct stat st = {};
    if (::stat(mount_point.c_str(), &st) != 0)
        return errno_error("cannot read cgroups at " + mount_point);
    made(st.st_ino, 0, "");
    std::vector<Pending> pending = {{st.st_ino, mount_point}};
    while (!pending.empty()) {
        const Pending parent = std::move(pending.back());
        pending.pop_back();
        const std::unique_ptr<DIR, CloseDir> dir(::opendir(parent.path.c_str()));
        if (!dir)
            continue;
        // The inode number in an entry is the cgroup's id: no stat for each of its files.
        while (const dirent* entry = ::readdir(dir.get())) {
            const std::string_view name = entry->d_name;
            if (entry->d_type != DT_DIR || name == "." || name == "..")
                continue;
            made(entry->d_ino, parent.id, std::string(name));
            pending.push_back({entry->d_ino, parent.path + "/" + std::string(name)});
        }
    }
    return ok();
}

void CgroupTree::made(uint64_t id, uint64_t parent, std::string name)
{
    CgroupFact& fact = by_id_[id];
    if (fact.id != id || fact.name != name)
        made_.push_back(id);
    fact = {.id = id, .parent = parent, .name = std::move(name), .removed = fact.removed};
}

void CgroupTree::removed(uint64_t id, uint64_t parent, std::string name)
{
    made(id, parent, std::move(name));
    by_id_[id].removed = true;
    removed_.push_back(id);
}

const CgroupFact* CgroupTree::find(uint64_t id) const
{
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : &found->second;
}

std::string CgroupTree::path(uint64_t id) const
{
    std::string path;
    const CgroupFact* fact = find(id);
    for (; fact != nullptr && fact->parent != 0; fact = find(fact->parent))
        path = std::string("/").append(fact->name).append(path);
    if (fact == nullptr)
        return "";
    return path.empty() ? "/" : path;
}

std::vector<CgroupFact> CgroupTree::facts() const
{
    std::vector<CgroupFact> facts;
    facts.reserve(by_id_.size());
    for (const auto& [id, fact] : by_id_)
        facts.push_back(fact);
    return facts;
}

} // namespace vtrace
