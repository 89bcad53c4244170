// SPDX-License-Identifier: GPL-2.0-only
#include "collect/cgroup_memory.h"

#include "base/files.h"
#include "entity/cgroup_paths.h"
#include "entity/memory_counts.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace vtrace {
namespace {

// A read of one takes about 50 us.
constexpr size_t kCgroupsAtMost = 1000;

std::string text_of(const std::string& path)
{
    const auto text = read_file(path);
    return text ? *text : "";
}

MemoryCounts host_counts()
{
    return host_memory(text_of("/proc/vmstat"), text_of("/proc/pressure/memory"),
                       static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)));
}

} // namespace

CgroupMemory::CgroupMemory(std::string_view mountinfo, uint64_t target)
    : limits_(mountinfo), target_(target)
{
}

void CgroupMemory::read(Snapshot& snapshot)
{
    const CgroupPaths paths(snapshot.cgroups);
    MemorySnapshot& memory = snapshot.memory;
    const MemoryCounts host = host_counts();
    memory.host = difference(host, std::exchange(host_, host));
    std::map<uint64_t, MemoryCounts> now;
    std::set<uint64_t> known;
    for (const CgroupFact& cgroup : snapshot.cgroups.cgroups) {
        if (!cgroup.removed)
            known.insert(cgroup.id);
    }
    for (const uint64_t id : known) {
        const auto path = paths.path(id);
        const auto above = paths.upwards(id);
        if (!path || *path == "/" ||
            (target_ != 0 && std::ranges::find(above, target_) == above.end()))
            continue;
        if (now.size() == kCgroupsAtMost) {
            snapshot.loss.fallbacks.emplace_back(
                "the kernel's own counts are those of the first 1000 cgroups only: "
                "--cgroup=PATH selects");
            break;
        }
        const auto counts = limits_.memory_counts(*path);
        if (!counts)
            continue;
        now[id] = *counts;
        const auto before = before_.find(id);
        const MemoryCounts none = difference(*counts, *counts);
        MemoryCounts grown = none; // of one that is read for the first time
        if (before != before_.end())
            grown = difference(*counts, before->second);
        else if (started_ && !known_.contains(id))
            grown = *counts; // it has been made since
        if (grown != none)
            memory.cgroups.push_back(
                {.cgroup_id = id, .limit_bytes = limits_.memory(*path), .counts = grown});
    }
    before_ = std::move(now);
    known_ = std::move(known);
    started_ = true;
}

} // namespace vtrace
