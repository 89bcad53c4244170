// SPDX-License-Identifier: GPL-2.0-only
#include "collect/vm_memory.h"

#include "base/files.h"
#include "entity/cgroup_paths.h"

#include <unistd.h>

#include <optional>
#include <string>
#include <utility>

namespace vtrace {
namespace {

std::string text_of(const std::string& path)
{
    const auto text = read_file(path);
    return text ? *text : "";
}

ProcessMemory memory_of(uint32_t pid, uint64_t page_bytes)
{
    const std::string process = "/proc/" + std::to_string(pid);
    return process_memory(text_of(process + "/status"), text_of(process + "/stat"),
                          text_of(process + "/ksm_merging_pages"), page_bytes);
}

// Counts go with what is counted: of one that has just ended there are none.
uint64_t grown(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

} // namespace

void VmMemory::read(Snapshot& snapshot)
{
    const auto page_bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    const CgroupPaths paths(snapshot.cgroups);
    std::map<uint64_t, Counts> counts;
    for (const EntityFact& vm : snapshot.entities) {
        if (vm.kind != "vm" || vm.ended)
            continue;
        Counts now{.process = memory_of(vm.pid, page_bytes), .cgroup = {}};
        if (const auto path = paths.path(vm.cgroup_id))
            now.cgroup = limits_.memory_counts(*path);
        const auto last = before_.find(vm.vm);
        const Counts& before = last == before_.end() ? now : last->second;
        const MemoryCounts of_cgroup =
            now.cgroup ? difference(*now.cgroup, before.cgroup.value_or(*now.cgroup))
                       : MemoryCounts{};
        snapshot.kvm.memory.push_back(
            {.vm = vm.vm,
             .rss_bytes = now.process.rss_bytes,
             .swapped_bytes = now.process.swapped_bytes,
             .shared_bytes = now.process.shared_bytes,
             .minor_faults = grown(now.process.minor_faults, before.process.minor_faults),
             .major_faults = grown(now.process.major_faults, before.process.major_faults),
             .reclaimed_bytes = of_cgroup.reclaimed_bytes,
             .stalled_ns = of_cgroup.stalled_ns});
        counts[vm.vm] = now;
    }
    before_ = std::move(counts);
}

} // namespace vtrace
