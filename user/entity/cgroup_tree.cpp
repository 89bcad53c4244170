// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <string_view>
#include <unordered_set>

namespace vtrace {
namespace {

struct CloseDir {
    void operator()(DIR* dir) const { ::closedir(dir); }
};

struct Pending {
    uint64_t id;
    std::string path;
};

// A directory's second link is its own "."; each one below it adds another. A file system that does not
// count so says 1.
bool has_none_below(int parent, const char* name)
{
    struct stat st = {};
    return ::fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 2;
}

// Calls found(id, parent, name) for each directory, those above before those below.
template <typename Found> Status walk(const std::string& mount_point, const Found& found)
{
    struct stat st = {};
    if (::stat(mount_point.c_str(), &st) != 0)
        return errno_error("cannot read cgroups at " + mount_point);
    found(st.st_ino, 0, "");
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
            found(entry->d_ino, parent.id, std::string(name));
            // Most cgroups have none below: to ask takes a third of reading their many files' names.
            if (!has_none_below(::dirfd(dir.get()), entry->d_name))
                pending.push_back({entry->d_ino, parent.path + "/" + std::string(name)});
        }
    }
    return ok();
}

} // namespace

Status CgroupTree::scan(const std::string& mount_point)
{
    return walk(mount_point, [&](uint64_t id, uint64_t parent, std::string name) {
        made(id, parent, std::move(name));
    });
}

Result<std::vector<uint64_t>> CgroupTree::rescan(const std::string& mount_point)
{
    std::unordered_set<uint64_t> here;
    auto walked = walk(mount_point, [&](uint64_t id, uint64_t parent, std::string name) {
        here.insert(id);
        made(id, parent, std::move(name));
    });
    if (!walked)
        return walked.error();
    std::vector<uint64_t> gone;
    std::erase_if(by_id_, [&](const auto& known) {
        const bool is_gone = !here.contains(known.first);
        if (is_gone)
            gone.push_back(known.first);
        return is_gone;
    });
    return gone;
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
