// SPDX-License-Identifier: GPL-2.0-only
#include "collect/sched_collector.h"

#include "base/clock.h"
#include "collect/syscall_reasons.h"
#include "collect/task_maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <string>

namespace vtrace {
namespace {

using std::chrono::steady_clock;

// The kernel's buckets have 32 bits: added up well before they can wrap.
constexpr auto kAccumulateEvery = std::chrono::seconds(60);

bool has_pairs(const SchedParts& parts)
{
    return parts.throttling || parts.slices || parts.offcpu;
}

// The program on sched_switch that does the least beside these parts: see struct vt_on in bpf/sched.bpf.c.
// nullptr if there is nothing to do.
bpf_program* switch_program(BpfObject& object, const SchedConfig& config)
{
    auto& programs = object->progs;
    const SchedParts parts = config.parts.of_hook();
    if (parts == SchedParts{})
        return nullptr;
    if (!config.task_storage)
        return programs.sched_switch;
    if (parts == SchedParts{.waits = true})
        return programs.sched_switch_waits;
    if (parts == SchedParts{.slices = true})
        return programs.sched_switch_slices;
    if (parts == SchedParts{.waits = true, .throttling = true, .states = true})
        return programs.sched_switch_states;
    // What these two know to be by cgroup.
    if (config.by_cgroup && parts == SchedParts{.waits = true, .throttling = true, .blame = true})
        return programs.sched_switch_blame;
    if (config.by_cgroup &&
        parts == SchedParts{.waits = true, .throttling = true, .blame = true, .states = true})
        return programs.sched_switch_all;
    return programs.sched_switch;
}

// (victim, neighbour) with a histogram of their own; more are `other neighbours`.
uint32_t neighbour_pairs(const SchedConfig& config)
{
    constexpr uint32_t kAtLeast = 2048; // of whole waits and of parts each half
    return std::max(kAtLeast, 8 * config.entities);
}

SlotPlan plan(const SchedConfig& config)
{
    // A wait has a handful of parts; threads of the kernel have about a hundred names.
    constexpr uint32_t kPartsOfAWait = 8; // four, of whole waits and of parts
    constexpr uint32_t kKernelThreads = 256;
    const int cpus = libbpf_num_possible_cpus();
    uint32_t owners = config.by_cgroup ? config.entities : 0;
    if (config.parts.blame)
        owners = owners * kPartsOfAWait + kKernelThreads;
    else if (has_pairs(config.parts))
        owners *= 2;
    return plan_slots(owners, static_cast<uint32_t>(cpus));
}

uint32_t kind_of(const vt_owner& owner)
{
    const auto kind = static_cast<uint32_t>(owner.vm >> VT_OWNER_KIND_SHIFT);
    return kind == VT_OWNER_KTHREAD || kind == VT_OWNER_PAIR || kind == VT_OWNER_WHOLE ? kind : 0;
}

bool is_pair(const vt_owner& owner)
{
    return kind_of(owner) == VT_OWNER_PAIR || kind_of(owner) == VT_OWNER_WHOLE;
}

// Empty for a culprit's slot.
std::string_view part_named(uint32_t code)
{
    switch (code) {
    case VT_CODE_THROTTLED: return kThrottled;
    case VT_CODE_SELF: return kSelf;
    case VT_CODE_NEIGHBOURS: return kNeighbours;
    case VT_CODE_IDLE: return kIdle;
    case VT_CODE_FORCED_IDLE: return kForcedIdle;
    case VT_CODE_IRQ: return kIrq;
    case VT_CODE_STEAL: return kSteal;
    case VT_CODE_UNKNOWN: return kUnknown;
    case VT_CODE_SLICE: return kSlice;
    case VT_CODE_OFFCPU: return kOffCpu;
    default: return {};
    }
}

std::string comm_string(const char (&comm)[VT_COMM_LEN])
{
    return {comm, ::strnlen(comm, sizeof(comm))};
}

} // namespace

std::string kthread_name(const vt_owner& owner)
{
    std::array<char, VT_COMM_LEN> name{};
    static_assert(sizeof(owner) == VT_COMM_LEN);
    std::memcpy(name.data(), &owner, name.size());
    return {name.data(), ::strnlen(name.data(), name.size() - 1)};
}

void SchedCollector::prepare(BpfObject& object, const SchedConfig& config)
{
    const SlotPlan slots = plan(config);
    HistogramStore::prepare(object, slots);

    auto* rodata = object->rodata;
    rodata->waits = config.parts.waits;
    rodata->throttling = config.parts.throttling;
    rodata->blame = config.parts.blame;
    rodata->slices = config.parts.slices;
    rodata->offcpu = config.parts.offcpu;
    rodata->states = config.parts.states;
    rodata->neighbour_pairs = neighbour_pairs(config);
    if (config.parts.stacks || config.parts.states)
        std::ranges::copy(syscall_reasons(), rodata->syscall_reasons);
    rodata->by_cgroup = config.by_cgroup;
    rodata->by_vm = config.by_vm;
    rodata->target_vm = config.target_vm;
    rodata->cgroup_v1_cpu = config.cgroup_v1_cpu;
    rodata->cgroup_target = config.target_cgroup;
    rodata->target_tgid = config.tgid;
    rodata->slower_ns = config.slower_ns;
    rodata->include_self = config.include_self;
    rodata->stalls_follow = config.stalls_follow;
    rodata->use_task_storage = config.task_storage;
    rodata->comm_filter = config.comm.has_value();
    if (config.comm) {
        std::ranges::copy(config.comm->advance, rodata->comm_advance);
        rodata->comm_stay = config.comm->stay;
        rodata->comm_accept = config.comm->accept;
    }

    auto& maps = object->maps;
    // Both are there, though one is used: the compiler may take the addresses of both and choose then.
    const TaskMaps tasks{
        .wanted = true, .task_storage = config.task_storage, .threads = config.threads};
    prepare_task_maps(maps.sched_tasks, maps.sched_tasks_hash, tasks);
    prepare_task_maps(maps.stated_tasks, maps.stated_tasks_hash, tasks);
    bpf_map__set_max_entries(config.parts.states ? maps.sched_tasks_hash : maps.stated_tasks_hash,
                             1);
    bpf_map__set_autocreate(maps.vms, config.by_vm);
    bpf_map__set_max_entries(maps.sched_cpus, slots.cpus);
    // Always there: until 6.7 the kernel verifies the functions that use them even if nobody calls them.
    bpf_map__set_max_entries(maps.sched_history, config.parts.blame ? slots.cpus : 1);
    bpf_map__set_max_entries(maps.sched_pairs, has_pairs(config.parts) ? slots.cpus : 1);
    bpf_map__set_max_entries(maps.owner_slots, slots.max_slots());
    bpf_map__set_max_entries(maps.slot_owner, slots.max_slots());
    bpf_map__set_max_entries(maps.free_slots, slots.max_slots());

    auto& programs = object->progs;
    bpf_program* on_switch = switch_program(object, config);
    if (on_switch == nullptr)
        return;
    bpf_program__set_autoload(on_switch, true);
    bpf_program__set_autoload(programs.sched_newtask, true);
    bpf_program__set_autoload(programs.sched_migrate, true);
    bpf_program__set_autoload(programs.sched_free, !config.task_storage);
    bpf_program__set_autoload(programs.sched_cgroup_move, config.by_cgroup);
    bpf_program__set_autoload(programs.sched_add_tasks, true);
    bpf_program__set_autoload(programs.sched_open_waits, true);
}

SchedCollector::SchedCollector(BpfObject& object, const SchedConfig& config, HistogramStore store,
                               SlowWaitSink slow_wait)
    : object_(&object), config_(config), plan_(plan(config)), store_(std::move(store)),
      slow_wait_(std::move(slow_wait))
{
}

Result<std::unique_ptr<SchedCollector>> SchedCollector::start(BpfObject& object,
                                                              const SchedConfig& config,
                                                              SlowWaitSink slow_wait)
{
    auto store = HistogramStore::start(object, plan(config));
    if (!store)
        return store.error();
    std::unique_ptr<SchedCollector> self(
        new SchedCollector(object, config, std::move(*store), std::move(slow_wait)));

    auto cpus =
        MappedArray<vt_sched_cpu>::map(bpf_map__fd(object->maps.sched_cpus), self->plan_.cpus);
    if (!cpus)
        return cpus.error();
    self->cpus_ = std::move(*cpus);
    auto slot_owner = MappedArray<vt_owner>::map(bpf_map__fd(object->maps.slot_owner),
                                                 self->plan_.max_slots(), true);
    if (!slot_owner)
        return slot_owner.error();
    self->slot_owner_ = std::move(*slot_owner);

    if (config.by_cgroup || has_pairs(config.parts)) {
        if (auto freed = self->free_new_slots(VT_SLOT_OTHER + 1); !freed)
            return freed.error();
    }
    if (config.slower_ns != 0) {
        self->ring_.reset(ring_buffer__new(bpf_map__fd(object->maps.slow_waits), on_slow_wait,
                                           self.get(), nullptr));
        if (!self->ring_)
            return errno_error("cannot read single waits");
    }
    if (auto attached = self->attach_all(); !attached)
        return attached.error();
    return self;
}

Status SchedCollector::attach_all()
{
    auto& programs = (*object_)->progs;
    for (bpf_program* program :
         {programs.sched_newtask, programs.sched_migrate, programs.sched_free,
          programs.sched_cgroup_move, switch_program(*object_, config_)}) {
        if (program == nullptr || !bpf_program__autoload(program))
            continue;
        auto link = attach(program);
        if (!link)
            return link.error();
        links_.push_back(std::move(*link));
    }
    for (const auto& [program, link] : {std::pair{programs.sched_add_tasks, &add_tasks_},
                                        std::pair{programs.sched_open_waits, &open_waits_}}) {
        if (!bpf_program__autoload(program))
            continue;
        auto attached = attach(program);
        if (!attached)
            return attached.error();
        *link = std::move(*attached);
    }
    // The tasks that were there before the hook on new ones.
    if (add_tasks_) {
        if (auto added = add_tasks(); !added)
            return added;
    }

    // Until now tasks without a state ran: not a loss, the window starts here.
    accumulate();
    pending_.clear();
    before_ = counters();
    return ok();
}

int SchedCollector::after_switch() const
{
    const bool follows = config_.stalls_follow && switch_program(*object_, config_) != nullptr;
    return follows ? bpf_map__fd((*object_)->maps.after_switch) : -1;
}

Status SchedCollector::add_tasks()
{
    // The kernel's allocator serves a burst from a small reserve that it refills a moment later
    // (bpf_mem_alloc): what failed is tried again.
    constexpr int kAttempts = 1000;
    for (int attempt = 0; attempt < kAttempts; attempt++) {
        const uint64_t failed_before = counters().task_failed;
        const auto added = run_iterator(add_tasks_.get(), "task");
        if (!added)
            return added.error();
        failed_handled_ = counters().task_failed;
        tasks_missing_ = failed_handled_ - failed_before;
        if (tasks_missing_ == 0)
            break;
    }
    return ok();
}

Status SchedCollector::free_new_slots(uint32_t from)
{
    const int fd = bpf_map__fd((*object_)->maps.free_slots);
    for (uint32_t slot = from; slot < store_.slots(); slot++) {
        if (bpf_map_update_elem(fd, nullptr, &slot, BPF_ANY) != 0)
            return errno_error("cannot hand out histogram slots");
    }
    return ok();
}

int SchedCollector::on_slow_wait(void* self, void* data, size_t size)
{
    vt_slow_wait event{};
    std::memcpy(&event, data, std::min(size, sizeof(event)));
    static_cast<SchedCollector*>(self)->slow_wait_({.end_ns = to_wall_clock(event.end_ns),
                                                    .wait_ns = event.wait_ns,
                                                    .cgroup_id = event.cgroup_id,
                                                    .vm = event.vm,
                                                    .cpu = event.cpu,
                                                    .tid = event.tid,
                                                    .tgid = event.tgid,
                                                    .comm = comm_string(event.comm),
                                                    .previous_tid = event.prev_tid,
                                                    .previous_comm = comm_string(event.prev_comm)});
    return 0;
}

Status SchedCollector::poll()
{
    if (ring_)
        ring_buffer__consume(ring_.get());
    if (steady_clock::now() - accumulated_ >= kAccumulateEvery)
        accumulate();
    if (counters().task_failed != failed_handled_) {
        if (auto added = add_tasks(); !added)
            return added;
    }
    if (!config_.by_cgroup && !has_pairs(config_.parts))
        return ok();
    return keep_slots_free();
}

// What a burst of new cgroups may take before the next poll is kept in reserve.
Status SchedCollector::keep_slots_free()
{
    constexpr uint64_t kReserve = 128;
    for (;;) {
        const uint64_t used = 1 + counters().slots_taken - slots_released_;
        const uint32_t slots = store_.slots();
        if (slots >= used + kReserve)
            return ok();
        const auto grown = store_.grow();
        if (!grown)
            return grown.error();
        if (!*grown)
            return ok();
        if (auto freed = free_new_slots(slots); !freed)
            return freed;
    }
}

vt_owner SchedCollector::key_of(uint32_t slot) const
{
    if (slot == VT_SLOT_OTHER || slot >= store_.slots())
        return {};
    const vt_owner& owner = slot_owner_.values()[slot];
    return {.cgroup_id = load_relaxed(owner.cgroup_id), .vm = load_relaxed(owner.vm)};
}

OwnerId SchedCollector::owner_of(uint32_t slot) const
{
    const vt_owner key = key_of(slot);
    if (kind_of(key) == VT_OWNER_KTHREAD)
        return {.kthread = kthread_name(key)};
    return {.cgroup_id = key.cgroup_id, .vm = key.vm};
}

SchedCollector::About SchedCollector::about(uint32_t slot, uint32_t code) const
{
    if (const std::string_view part = part_named(code); !part.empty())
        return {owner_of(slot), part, {}};
    OwnerId culprit = owner_of(code);
    // One that has gone meanwhile.
    if (culprit == OwnerId{})
        return {owner_of(slot), kNeighbours, {}};
    return {owner_of(slot), kNeighbour, std::move(culprit)};
}

SchedCollector::About SchedCollector::about(uint32_t slot) const
{
    const vt_owner key = key_of(slot);
    if (!is_pair(key))
        return {owner_of(slot), kWait, {}};
    return about(static_cast<uint32_t>(key.cgroup_id >> 32), static_cast<uint32_t>(key.cgroup_id));
}

void SchedCollector::accumulate()
{
    store_.read([&](uint32_t slot, const Histogram& added) {
        const About key = about(slot);
        pending_[key].merge(added);
        if (kind_of(key_of(slot)) == VT_OWNER_WHOLE)
            pending_[{key.owner, kWait, {}}].merge(added);
    });
    accumulated_ = steady_clock::now();
}

vt_sched_cpu SchedCollector::counters() const
{
    vt_sched_cpu sum{};
    for (const vt_sched_cpu& cpu : cpus_.values()) {
        sum.missed_start += load_relaxed(cpu.missed_start);
        sum.recovered += load_relaxed(cpu.recovered);
        sum.clock_anomaly += load_relaxed(cpu.clock_anomaly);
        sum.map_full += load_relaxed(cpu.map_full);
        sum.task_failed += load_relaxed(cpu.task_failed);
        sum.ring_dropped += load_relaxed(cpu.ring_dropped);
        sum.rate_limited += load_relaxed(cpu.rate_limited);
        sum.slots_taken += load_relaxed(cpu.slots_taken);
    }
    return sum;
}

Status SchedCollector::read_open_waits(SchedSnapshot& sched)
{
    if (!open_waits_)
        return ok();
    const auto waits = run_iterator(open_waits_.get(), "task");
    if (!waits)
        return waits.error();
    for (size_t at = 0; at + sizeof(vt_open_wait) <= waits->size(); at += sizeof(vt_open_wait)) {
        vt_open_wait wait{};
        std::memcpy(&wait, waits->data() + at, sizeof(wait));
        sched.open.push_back({.wait_ns = wait.wait_ns,
                              .cgroup_id = wait.cgroup_id,
                              .vm = wait.vm,
                              .tid = wait.tid,
                              .tgid = wait.tgid,
                              .comm = comm_string(wait.comm)});
        for (size_t i = 0; i < VT_OPEN_PARTS && wait.ns[i] != 0; i++) {
            const About part = about(wait.slot, wait.code[i]);
            sched.open.back().parts.push_back(
                {.about = std::string(part.about), .culprit = part.culprit, .ns = wait.ns[i]});
        }
    }
    std::ranges::sort(sched.open, std::greater{}, &OpenWait::wait_ns);
    return ok();
}

Status SchedCollector::read(Snapshot& snapshot)
{
    if (ring_)
        ring_buffer__consume(ring_.get());
    accumulate();
    const vt_sched_cpu now = counters();
    SchedSnapshot& sched = snapshot.sched;
    for (const auto& [key, histogram] : pending_) {
        sched.times.push_back({.owner = key.owner,
                               .about = std::string(key.about),
                               .culprit = key.culprit,
                               .time = histogram});
    }
    pending_.clear();
    snapshot.loss.missed_start += now.missed_start - before_.missed_start;
    snapshot.loss.recovered += now.recovered - before_.recovered;
    snapshot.loss.clock_anomaly += now.clock_anomaly - before_.clock_anomaly;
    snapshot.loss.map_full += now.map_full - before_.map_full;
    snapshot.loss.task_failed += tasks_missing_;
    snapshot.loss.ring_dropped += now.ring_dropped - before_.ring_dropped;
    snapshot.loss.rate_limited += now.rate_limited - before_.rate_limited;
    before_ = now;
    if (!config_.task_storage)
        snapshot.loss.fallbacks.emplace_back("no task storage: a hash of tasks serves");
    return read_open_waits(sched);
}

void SchedCollector::release_cgroup(uint64_t cgroup_id)
{
    release_if(
        [&](const vt_owner& owner) { return owner.cgroup_id == cgroup_id && kind_of(owner) == 0; });
}

void SchedCollector::release_vm(uint64_t vm)
{
    release_if([&](const vt_owner& owner) { return owner.vm == vm; });
}

// The pairs that an owner is part of go with it.
void SchedCollector::release_if(const std::function<bool(const vt_owner&)>& ends)
{
    std::set<uint32_t> gone;
    for (uint32_t slot = VT_SLOT_OTHER + 1; slot < store_.slots(); slot++) {
        if (const vt_owner key = key_of(slot); (key.cgroup_id | key.vm) != 0 && ends(key))
            gone.insert(slot);
    }
    if (gone.empty())
        return;
    for (uint32_t slot = VT_SLOT_OTHER + 1; has_pairs(config_.parts) && slot < store_.slots();
         slot++) {
        const vt_owner key = key_of(slot);
        if (!is_pair(key))
            continue;
        const auto code = static_cast<uint32_t>(key.cgroup_id);
        if (!gone.contains(code) && !gone.contains(static_cast<uint32_t>(key.cgroup_id >> 32)))
            continue;
        if (code < VT_CODE_FIRST)
            __atomic_fetch_sub(&(*object_)->bss->neighbour_pairs_taken, 1, __ATOMIC_RELAXED);
        release(slot);
    }
    for (const uint32_t slot : gone)
        release(slot);
    __atomic_fetch_add(&(*object_)->data->pair_changes, 1, __ATOMIC_RELEASE);
}

void SchedCollector::release(uint32_t slot)
{
    const vt_owner key = key_of(slot);
    bpf_map_delete_elem(bpf_map__fd((*object_)->maps.owner_slots), &key);
    slot_owner_.values()[slot] = {};
    store_.restart(slot);
    bpf_map_update_elem(bpf_map__fd((*object_)->maps.free_slots), nullptr, &slot, BPF_ANY);
    slots_released_++;
}

} // namespace vtrace
