// SPDX-License-Identifier: GPL-2.0-only
#include "collect/runq_collector.h"

#include "base/files.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>

namespace vtrace {
namespace {

// No divisor of the kernel's own ticks: samples in step with those would always see the same.
constexpr uint32_t kSamplesPerSecond = 199;
// The kernel rounds it like this, and keeps to it: a sample that comes late does not delay the next one.
constexpr std::chrono::nanoseconds kPeriod(1'000'000'000 / kSamplesPerSecond);

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

// ns that each CPU was idle since boot (proc(5): /proc/stat, the 4th and 5th figures of a line `cpuN`).
std::vector<uint64_t> idle_ns(size_t cpus)
{
    std::vector<uint64_t> found(cpus);
    const auto stat = read_file("/proc/stat");
    if (!stat)
        return found;
    const auto number = [](std::string_view text) {
        uint64_t value = 0;
        std::from_chars(text.data(), text.data() + text.size(), value);
        return value;
    };
    const auto tick_ns = 1'000'000'000 / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
    for (const std::string_view line : split(*stat, '\n')) {
        const auto fields = split(line, ' ');
        constexpr std::string_view kCpu = "cpu";
        if (fields.size() < 6 || !fields[0].starts_with(kCpu) || fields[0] == kCpu)
            continue;
        if (const uint64_t cpu = number(fields[0].substr(kCpu.size())); cpu < cpus)
            found[cpu] = (number(fields[4]) + number(fields[5])) * tick_ns;
    }
    return found;
}

} // namespace

void RunqCollector::prepare(BpfObject& object, const RunqConfig& config)
{
    constexpr uint32_t kOwnersAtLeast = 16384;
    const auto cpus = static_cast<uint32_t>(libbpf_num_possible_cpus());
    object->rodata->runq_owners_wanted = config.by_cgroup;
    object->rodata->runq_by_vm = config.by_vm;
    object->rodata->runq_target_vm = config.target_vm;
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
    const auto cpus = static_cast<uint32_t>(libbpf_num_possible_cpus());
    auto mapped = MappedArray<vt_runq_cpu>::map(bpf_map__fd(object->maps.runq_cpus), cpus);
    if (!mapped)
        return mapped.error();
    self->counts_ = std::move(*mapped);
    self->cpus_.resize(cpus);
    const auto idle = idle_ns(cpus);
    for (uint32_t cpu = 0; cpu < cpus; cpu++) {
        if (auto sampled = self->sample(cpu, idle[cpu]); !sampled)
            return sampled.error();
    }
    return self;
}

Status RunqCollector::sample(uint32_t number, uint64_t idle_ns)
{
    Cpu& cpu = cpus_[number];
    cpu.link.reset();
    cpu.heard = Clock::now();
    auto event = cpu_clock(static_cast<int>(number));
    if (!event)
        return event.error();
    if (!*event)
        return ok();
    // The link has the event from here on.
    const int fd = ::fcntl((*event).get(), F_DUPFD_CLOEXEC, 0);
    cpu.link.reset(bpf_program__attach_perf_event((*object_)->progs.runq_sample, fd));
    if (!cpu.link)
        return errno_error("cannot sample CPU " + std::to_string(number));
    cpu.since = Clock::now();
    cpu.idle_before = idle_ns;
    cpu.came = cpu.came_idle = cpu.slept = cpu.missed = 0;
    return ok();
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
            found[{OwnerId{.cgroup_id = next.cgroup_id, .vm = next.vm}, next.cpu}] = owner;
        key = next;
        previous = &key;
    }
    return found;
}

// Of the samples that were due by now. Some kernels take none on an idle CPU: nothing waits there.
RunqCollector::Absent RunqCollector::newly_absent(Cpu& cpu, Clock::time_point now, uint64_t idle_ns)
{
    if (!cpu.link)
        return {};
    // The last one may be on its way.
    const auto due = static_cast<uint64_t>((now - cpu.since) / kPeriod);
    const uint64_t absent = std::max(due, cpu.came + 1) - cpu.came - 1;
    const uint64_t idle =
        (idle_ns - std::min(idle_ns, cpu.idle_before)) / static_cast<uint64_t>(kPeriod.count());
    const uint64_t slept = std::min(absent, idle - std::min(idle, cpu.came_idle));
    const uint64_t slept_before = std::exchange(cpu.slept, std::max(cpu.slept, slept));
    const uint64_t missed = absent - std::min(absent, cpu.slept);
    const uint64_t missed_before = std::exchange(cpu.missed, std::max(cpu.missed, missed));
    return {.slept = cpu.slept - slept_before, .missed = cpu.missed - missed_before};
}

Status RunqCollector::read_cpu(uint32_t number, Snapshot& snapshot, uint64_t idle_ns)
{
    constexpr std::chrono::seconds kSilent(1);
    Cpu& cpu = cpus_[number];
    const auto now = Clock::now();
    const vt_runq_cpu counts = counts_.values()[number];
    const vt_runq_cpu before = std::exchange(cpu.before, counts);
    RunqCpu added{.cpu = number,
                  .samples = counts.samples - before.samples,
                  .sum = counts.sum - before.sum,
                  .cut = counts.cut - before.cut,
                  .lengths = {}};
    for (uint32_t length = 0; length < VT_RUNQ_LENGTHS; length++) {
        if (const uint64_t count = counts.lengths[length] - before.lengths[length]; count != 0)
            added.lengths.emplace_back(length, count);
    }
    snapshot.loss.map_full += counts.map_full - before.map_full;
    cpu.came += added.samples;
    cpu.came_idle += counts.idle - before.idle;
    const Absent absent = newly_absent(cpu, now, idle_ns);
    snapshot.loss.samples_missed += absent.missed;
    if (absent.slept != 0) {
        added.samples += absent.slept;
        if (added.lengths.empty() || added.lengths.front().first != 0)
            added.lengths.insert(added.lengths.begin(), {0, 0});
        added.lengths.front().second += absent.slept;
    }
    if (added.samples != 0)
        cpu.heard = now;
    if (cpu.link || added.samples != 0)
        snapshot.runq.cpus.push_back(std::move(added));
    // It has gone offline, or come back: the event of a CPU does not outlive that.
    return now - cpu.heard < kSilent ? ok() : sample(number, idle_ns);
}

Status RunqCollector::read(Snapshot& snapshot)
{
    RunqSnapshot& runq = snapshot.runq;
    const auto idle = idle_ns(cpus_.size());
    for (uint32_t cpu = 0; cpu < cpus_.size(); cpu++) {
        if (auto read = read_cpu(cpu, snapshot, idle[cpu]); !read)
            return read;
    }
    auto now = owners();
    for (const auto& [key, owner] : now) {
        const vt_runq_owner before = owners_before_[key];
        if (owner.seen != before.seen) {
            runq.owners.push_back({.owner = key.first,
                                   .cpu = key.second,
                                   .seen = owner.seen - before.seen,
                                   .sum = owner.sum - before.sum});
        }
    }
    owners_before_ = std::move(now);
    return ok();
}

void RunqCollector::release(const std::function<bool(const OwnerId&)>& is_gone)
{
    const int fd = bpf_map__fd((*object_)->maps.runq_owners);
    std::erase_if(owners_before_, [&](const auto& known) {
        const auto& [owner, cpu] = known.first;
        if (!is_gone(owner))
            return false;
        const vt_runq_key key{.cgroup_id = owner.cgroup_id, .vm = owner.vm, .cpu = cpu, .zero = 0};
        bpf_map_delete_elem(fd, &key);
        return true;
    });
}

void RunqCollector::release_cgroup(uint64_t cgroup_id)
{
    release([&](const OwnerId& owner) { return owner.cgroup_id == cgroup_id; });
}

void RunqCollector::release_vm(uint64_t vm)
{
    release([&](const OwnerId& owner) { return owner.vm == vm; });
}

} // namespace vtrace
