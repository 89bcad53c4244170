// SPDX-License-Identifier: GPL-2.0-only
#include "collect/runq_collector.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace vtrace {
namespace {

// No divisor of the kernel's own ticks: samples in step with those would always see the same.
constexpr uint32_t kSamplesPerSecond = 199;

// Of a CPU that is not online: nothing.
Result<Fd> cpu_clock(int cpu)
{
    perf_event_attr attributes = {};
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.size = sizeof(attributes);
    attributes.config = PERF_COUNT_SW_CPU_CLOCK;
    attributes.freq = 1;
    attributes.sample_freq = kSamplesPerSecond;
    Fd fd(static_cast<int>(
        ::syscall(SYS_perf_event_open, &attributes, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC)));
    if (!fd && errno != ENODEV)
        return errno_error("cannot sample CPUs", "a perf event on the CPU clock is needed");
    return fd;
}

} // namespace

void RunqCollector::prepare(BpfObject& object, const RunqConfig& config)
{
    constexpr uint32_t kOwnersAtLeast = 16384;
    const auto cpus = static_cast<uint32_t>(libbpf_num_possible_cpus());
    object->rodata->runq_owners_wanted = config.by_cgroup;
    bpf_map__set_max_entries(object->maps.runq_cpus, cpus);
    bpf_map__set_max_entries(object->maps.runq_owners,
                             config.by_cgroup ? std::max(kOwnersAtLeast, 4 * config.entities) : 1);
    bpf_program__set_autoload(object->progs.runq_sample, true);
}

Result<std::unique_ptr<RunqCollector>> RunqCollector::start(BpfObject& object,
                                                            const RunqConfig& config)
{
    std::unique_ptr<RunqCollector> self(new RunqCollector(object));
    self->config_ = config;
    const int cpus = libbpf_num_possible_cpus();
    auto mapped = MappedArray<vt_runq_cpu>::map(bpf_map__fd(object->maps.runq_cpus),
                                                static_cast<size_t>(cpus));
    if (!mapped)
        return mapped.error();
    self->cpus_ = std::move(*mapped);
    self->before_.resize(static_cast<size_t>(cpus));
    for (int cpu = 0; cpu < cpus; cpu++) {
        auto event = cpu_clock(cpu);
        if (!event)
            return event.error();
        if (!*event)
            continue;
        // The link has the event from here on.
        const int fd = ::fcntl((*event).get(), F_DUPFD_CLOEXEC, 0);
        Link link(bpf_program__attach_perf_event(object->progs.runq_sample, fd));
        if (!link)
            return errno_error("cannot sample CPU " + std::to_string(cpu));
        self->links_.push_back(std::move(link));
    }
    return self;
}

std::map<RunqCollector::Key, vt_runq_owner> RunqCollector::owners() const
{
    std::map<Key, vt_runq_owner> found;
    if (!config_.by_cgroup)
        return found;
    const int fd = bpf_map__fd((*object_)->maps.runq_owners);
    vt_runq_key key{};
    vt_runq_key* previous = nullptr;
    for (vt_runq_key next{}; bpf_map_get_next_key(fd, previous, &next) == 0;) {
        vt_runq_owner owner{};
        if (bpf_map_lookup_elem(fd, &next, &owner) == 0)
            found[{next.cgroup_id, next.cpu}] = owner;
        key = next;
        previous = &key;
    }
    return found;
}

Status RunqCollector::read(Snapshot& snapshot)
{
    RunqSnapshot& runq = snapshot.runq;
    runq.samples_per_second = kSamplesPerSecond;
    for (uint32_t cpu = 0; cpu < before_.size(); cpu++) {
        const vt_runq_cpu now = cpus_.values()[cpu];
        vt_runq_cpu& before = before_[cpu];
        RunqCpu added{.cpu = cpu,
                      .samples = now.samples - before.samples,
                      .sum = now.sum - before.sum,
                      .cut = now.cut - before.cut,
                      .lengths = {}};
        for (uint32_t length = 0; length < VT_RUNQ_LENGTHS; length++) {
            if (const uint64_t count = now.lengths[length] - before.lengths[length]; count != 0)
                added.lengths.emplace_back(length, count);
        }
        snapshot.loss.map_full += now.map_full - before.map_full;
        before = now;
        runq.cpus.push_back(std::move(added));
    }
    auto now = owners();
    for (const auto& [key, owner] : now) {
        const vt_runq_owner before = owners_before_[key];
        if (owner.seen != before.seen) {
            runq.owners.push_back({.cgroup_id = key.first,
                                   .cpu = key.second,
                                   .seen = owner.seen - before.seen,
                                   .sum = owner.sum - before.sum});
        }
    }
    owners_before_ = std::move(now);
    return ok();
}

void RunqCollector::release_cgroup(uint64_t cgroup_id)
{
    const int fd = bpf_map__fd((*object_)->maps.runq_owners);
    for (auto at = owners_before_.lower_bound({cgroup_id, 0});
         at != owners_before_.end() && at->first.first == cgroup_id;) {
        const vt_runq_key key{.cgroup_id = cgroup_id, .cpu = at->first.second, .zero = 0};
        bpf_map_delete_elem(fd, &key);
        at = owners_before_.erase(at);
    }
}

} // namespace vtrace
