// SPDX-License-Identifier: GPL-2.0-only
#include "demo/stage.h"

#include <sched.h>

#include <utility>

namespace vtrace {
namespace {

Status pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(cpu), &set);
    if (::sched_setaffinity(0, sizeof(set), &set) != 0)
        return errno_error("cannot stay on CPU " + std::to_string(cpu));
    return ok();
}

Status live(const Running& running, const StageLoad& load, const Ready& ready)
{
    if (auto entered = running.cgroups.enter(load.cgroup); !entered)
        return entered;
    // After the move: before 6.2 that gives a task all CPUs of the cgroup's cpuset.
    if (load.cpu) {
        if (auto pinned = pin(*load.cpu); !pinned)
            return pinned;
    }
    return load.load(running, ready);
}

} // namespace

Result<std::unique_ptr<Running>> start(const Stage& stage)
{
    auto cgroups = DemoCgroups::create();
    if (!cgroups)
        return cgroups.error();
    auto running = std::make_unique<Running>(Running{.cgroups = std::move(*cgroups)});
    std::string number;
    if (stage.disk) {
        auto disk = LoopDisk::create(*stage.disk, stage.scheduler);
        if (!disk)
            return disk.error();
        const auto known = disk->device_number();
        if (!known)
            return known.error();
        number = *known;
        running->disk = std::move(*disk);
    }
    for (const StageCgroup& cgroup : stage.cgroups) {
        DemoLimits limits = cgroup.limits;
        limits.disk = number;
        if (auto added = running->cgroups.add(cgroup.name, limits); !added)
            return added.error();
    }
    for (const StageLoad& load : stage.loads) {
        auto child = Child::start(load.name,
                                  [&](const Ready& ready) { return live(*running, load, ready); });
        if (!child)
            return child.error();
        running->children.push_back(std::move(*child));
    }
    return running;
}

int demo_cpu()
{
    cpu_set_t set;
    CPU_ZERO(&set);
    ::sched_getaffinity(0, sizeof(set), &set);
    int last = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(static_cast<size_t>(cpu), &set))
            last = cpu;
    }
    return last;
}

} // namespace vtrace
