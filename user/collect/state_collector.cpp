// SPDX-License-Identifier: GPL-2.0-only
#include "collect/state_collector.h"

#include <bpf/libbpf.h>

#include <cstring>
#include <ctime>
#include <string>

namespace vtrace {
namespace {

// The iterator takes the time from its CPU's run queue, whose clock stands still from one tick or switch to the
// next: a switch brings it up to date.
void refresh_clock()
{
    const timespec shortest = {.tv_sec = 0, .tv_nsec = 1};
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &shortest, nullptr);
}

// A time below 0 is none.
uint64_t at_least_0(uint64_t ns)
{
    return static_cast<int64_t>(ns) < 0 ? 0 : ns;
}

StateTimes times_of(const vt_thread_times& raw)
{
    StateTimes times;
    times.lived = at_least_0(raw.lived);
    for (size_t i = 0; i < kStates; i++)
        times.ns.at(i) = at_least_0(raw.ns[i]);
    times.stolen = at_least_0(raw.stolen);
    times.utime = at_least_0(raw.utime);
    times.stime = at_least_0(raw.stime);
    times.gtime = at_least_0(raw.gtime);
    times.voluntary = at_least_0(raw.voluntary);
    return times;
}

// sum += now - before
void add(vt_thread_times& sum, const vt_thread_times& now, const vt_thread_times& before = {})
{
    for (size_t i = 0; i < VT_REASONS; i++)
        sum.ns[i] += now.ns[i] - before.ns[i];
    sum.stolen += now.stolen - before.stolen;
    sum.lived += now.lived - before.lived;
    sum.utime += now.utime - before.utime;
    sum.stime += now.stime - before.stime;
    sum.gtime += now.gtime - before.gtime;
    sum.voluntary += now.voluntary - before.voluntary;
}

vt_thread_times load(const vt_thread_times& shared)
{
    vt_thread_times now{};
    for (size_t i = 0; i < VT_REASONS; i++)
        now.ns[i] = load_relaxed(shared.ns[i]);
    now.stolen = load_relaxed(shared.stolen);
    now.lived = load_relaxed(shared.lived);
    now.utime = load_relaxed(shared.utime);
    now.stime = load_relaxed(shared.stime);
    now.gtime = load_relaxed(shared.gtime);
    now.voluntary = load_relaxed(shared.voluntary);
    return now;
}

} // namespace

void StateCollector::prepare(BpfObject& object, const StateConfig& config)
{
    auto& maps = object->maps;
    bpf_map__set_autocreate(maps.states_ended, config.on);
    bpf_map__set_max_entries(maps.states_ended, bpf_map__max_entries(maps.slot_owner));
    bpf_program__set_autoload(object->progs.sched_thread_states, config.on);
}

Result<std::unique_ptr<StateCollector>> StateCollector::start(BpfObject& object,
                                                              const StateConfig& config)
{
    std::unique_ptr<StateCollector> self(new StateCollector(config));
    auto ended = MappedArray<vt_thread_times>::map(bpf_map__fd(object->maps.states_ended),
                                                   bpf_map__max_entries(object->maps.states_ended));
    if (!ended)
        return ended.error();
    self->ended_ = std::move(*ended);
    auto attached = attach(object->progs.sched_thread_states);
    if (!attached)
        return attached.error();
    self->threads_ = std::move(*attached);
    return self;
}

Status StateCollector::begin(uint32_t slots)
{
    Snapshot before;
    return read(before, slots, [](uint32_t) { return OwnerId{}; });
}

Status StateCollector::read(Snapshot& snapshot, uint32_t slots, const OwnerOf& owner_of)
{
    refresh_clock();
    const auto records = run_iterator(threads_.get(), "task");
    if (!records)
        return records.error();
    std::map<uint32_t, Sum> sums;
    vt_thread_state thread{};
    for (size_t at = 0; at + sizeof(thread) <= records->size(); at += sizeof(thread)) {
        std::memcpy(&thread, records->data() + at, sizeof(thread));
        Sum& sum = sums[thread.slot];
        sum.threads++;
        add(sum.times, thread.times);
        if (!config_.by_thread)
            continue;
        snapshot.states.threads.push_back(
            {.owner = owner_of(thread.slot),
             .tid = thread.tid,
             .tgid = thread.tgid,
             .comm = {thread.comm, ::strnlen(thread.comm, sizeof(thread.comm))},
             .times = times_of(thread.times)});
    }
    ended_before_.resize(slots);
    for (uint32_t slot = 0; slot < slots; slot++) {
        const vt_thread_times now = load(ended_.values()[slot]);
        vt_thread_times& before = ended_before_[slot];
        if (now.lived != before.lived)
            add(sums[slot].times, now, before);
        before = now;
    }
    for (const auto& [slot, sum] : sums) {
        snapshot.states.owners.push_back(
            {.owner = owner_of(slot), .threads = sum.threads, .times = times_of(sum.times)});
    }
    return ok();
}

} // namespace vtrace
