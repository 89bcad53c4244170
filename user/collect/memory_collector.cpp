// SPDX-License-Identifier: GPL-2.0-only
#include "collect/memory_collector.h"

#include "base/clock.h"
#include "base/files.h"
#include "symbol/kernel_symbols.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace vtrace {
namespace {

// Of the tables: 1.1 KiB for each entity that stalls, and each way.
constexpr uint32_t kSlotsAtLeast = 1024;
constexpr uint32_t kSlotsAtMost = 32768;
constexpr uint32_t kKinds = 7;

uint32_t slots(const MemoryConfig& config)
{
    return std::min(kSlotsAtLeast + kKinds * config.entities, kSlotsAtMost);
}

OwnerId owner_of(const vt_mem_key& key)
{
    return {.cgroup_id = key.cgroup_id, .vm = key.vm};
}

std::string comm_of(const char (&comm)[VT_MEM_COMM_LEN])
{
    return {comm, ::strnlen(comm, sizeof(comm))};
}

// The end of a stall before its start: one that was seen to begin has its end seen.
std::array<bpf_program*, 11> hooks(BpfObject& object)
{
    auto& progs = object->progs;
    return {progs.mem_reclaim_end, progs.mem_reclaim_begin, progs.mem_node_end,
            progs.mem_node_begin,  progs.mem_limit_end,     progs.mem_limit_begin,
            progs.mem_compact_end, progs.mem_compact_begin, progs.mem_switch,
            progs.mem_victim,      progs.mem_signal};
}

// What a wait is for, by the function of the kernel that it is in.
struct Function {
    std::string_view name;
    uint32_t kind = 0; // 0: neither for a page from a disk nor for memory
};

constexpr Function kFunctions[] = {
    {.name = "__mem_cgroup_handle_over_high", .kind = VT_MEM_HIGH}, // since 6.6
    {.name = "mem_cgroup_handle_over_high", .kind = VT_MEM_HIGH},
    {.name = "do_swap_page", .kind = VT_MEM_SWAPIN},
    // Of what file systems in memory have swapped out; a page until 5.16.
    {.name = "shmem_swapin_folio", .kind = VT_MEM_SWAPIN},
    {.name = "shmem_swapin_page", .kind = VT_MEM_SWAPIN},
    {.name = "filemap_fault", .kind = VT_MEM_FAULT},
    // A page that is being moved, which do_swap_page() waits for, too; their names changed in 5.17 and later.
    {.name = "migration_entry_wait_on_locked"},
    {.name = "softleaf_entry_wait_on_locked"},
    {.name = "__migration_entry_wait"},
    {.name = "migration_entry_wait"},
    {.name = "pmd_migration_entry_wait"},
    // The price of I/O that is not its own, on the way back to user space.
    {.name = "blkcg_maybe_throttle_current"},
    {.name = "__blkcg_maybe_throttle_current"},
};
static_assert(std::size(kFunctions) <= VT_MEM_FUNCTIONS);

void set_functions(BpfObject& object)
{
    const auto text = read_file("/proc/kallsyms");
    std::set<std::string_view> names;
    for (const Function& function : kFunctions)
        names.insert(function.name);
    const auto found = find_kernel_functions(text ? *text : "", names);
    size_t known = 0;
    for (const Function& function : kFunctions) {
        const auto range = found.find(function.name);
        if (range == found.end())
            continue;
        const auto [start, end] = range->second;
        object->rodata->mem_functions[known++] = {
            .start = start, .size = end - start, .kind = function.kind, .zero = 0};
    }
}

// There are kernels that run no program while their first process is on the CPU: the end of a wait may be missed.
bool waits_still(uint32_t pid, uint32_t tid)
{
    const auto stat =
        read_file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid) + "/stat");
    const size_t name_end = stat ? stat->rfind(") ") : std::string::npos;
    return name_end != std::string::npos && stat->substr(name_end + 2, 1) != "R";
}

// Vtrace itself, as programs see it.
Status note_self(BpfObject& object)
{
    bpf_test_run_opts options = {};
    options.sz = sizeof(options);
    if (bpf_prog_test_run_opts(bpf_program__fd(object->progs.mem_note_self), &options) != 0)
        return errno_error("cannot run a BPF program on request");
    return ok();
}

} // namespace

void MemoryCollector::prepare(BpfObject& object, const MemoryConfig& config)
{
    auto& maps = object->maps;
    for (bpf_map* map :
         {maps.mem_open, maps.mem_slots, maps.mem_free_slots, maps.mem_keys, maps.mem_stats,
          maps.mem_last, maps.mem_frames, maps.mem_oom, maps.mem_killed})
        bpf_map__set_autocreate(map, config.on);
    if (!config.on)
        return;
    for (bpf_map* map : {maps.mem_slots, maps.mem_free_slots, maps.mem_keys, maps.mem_stats})
        bpf_map__set_max_entries(map, slots(config));
    object->rodata->mem_by_vm = config.by_vm;
    object->rodata->mem_target_vm = config.target_vm;
    object->rodata->mem_cgroup_v1 = config.cgroup_v1;
    set_functions(object);
    for (bpf_program* program : hooks(object))
        bpf_program__set_autoload(program, true);
    bpf_program__set_autoload(object->progs.mem_note_self, true);
}

Result<std::unique_ptr<MemoryCollector>> MemoryCollector::start(BpfObject& object,
                                                                const MemoryConfig& config)
{
    std::unique_ptr<MemoryCollector> self(new MemoryCollector(object));
    const uint32_t most = slots(config);
    auto keys = MappedArray<vt_mem_key>::map(bpf_map__fd(object->maps.mem_keys), most);
    if (!keys)
        return keys.error();
    self->keys_ = std::move(*keys);
    auto stats = MappedArray<vt_mem_stat>::map(bpf_map__fd(object->maps.mem_stats), most);
    if (!stats)
        return stats.error();
    self->stats_ = std::move(*stats);
    self->before_.resize(most);
    const int free_slots = bpf_map__fd(object->maps.mem_free_slots);
    for (uint32_t slot = VT_MEM_SLOT_OTHER + 1; slot < most; slot++) {
        if (bpf_map_update_elem(free_slots, nullptr, &slot, BPF_ANY) != 0)
            return errno_error("cannot hand out slots for stalls");
    }
    const auto one = [](void* collector, void* data, size_t) {
        const auto& oom = *static_cast<const vt_oom*>(data);
        static_cast<MemoryCollector*>(collector)->kills_.push_back(
            {.time_ns = to_wall_clock(oom.time),
             .victim = {.cgroup_id = oom.cgroup_id, .vm = oom.vm},
             .cause = {.cgroup_id = oom.cause_cgroup, .vm = oom.cause_vm},
             .kind = oom.kind,
             .tgid = oom.tgid,
             .cause_tgid = oom.cause_tgid,
             .comm = comm_of(oom.comm),
             .cause_comm = comm_of(oom.cause_comm)});
        return 0;
    };
    self->ring_.reset(
        ring_buffer__new(bpf_map__fd(object->maps.mem_oom), one, self.get(), nullptr));
    if (!self->ring_)
        return errno_error("cannot open the buffer of OOM kills");
    if (auto noted = note_self(object); !noted)
        return noted.error();
    self->attach_all();
    // What came between two attachments is of no window.
    Snapshot before;
    self->read(before);
    return self;
}

// A kernel without compaction has no tracepoint of it: a figure is missing, and named.
void MemoryCollector::attach_all()
{
    for (bpf_program* program : hooks(*object_)) {
        auto link = attach(program);
        if (!link)
            missing_.push_back(link.error().what);
        else if (program == (*object_)->progs.mem_switch)
            on_switch_ = std::move(*link);
        else
            links_.push_back(std::move(*link));
    }
    if ((*object_)->rodata->mem_functions[0].size == 0)
        missing_.emplace_back("the kernel hides its functions (/proc/kallsyms): swap-ins and major "
                              "faults are not seen, memory.high is shown as thrashing");
    if (!read_file("/proc/pressure/memory"))
        missing_.emplace_back("PSI is off (psi=1 among the kernel's parameters turns it on): "
                              "memory.high is not seen, and thrashing in major faults only");
}

// A switch that both see meanwhile is counted once: what has begun begins again, what has ended has no end any more.
Status MemoryCollector::follow(int after_switch)
{
    constexpr uint32_t kFirst = 0;
    const int program = bpf_program__fd((*object_)->progs.mem_switch);
    if (bpf_map_update_elem(after_switch, &kFirst, &program, BPF_ANY) != 0)
        return errno_error("cannot let one BPF program call another");
    on_switch_.reset();
    return ok();
}

void MemoryCollector::read_stalls(MemorySnapshot& memory)
{
    uint32_t& counted = (*object_)->data->mem_epoch;
    const uint32_t epoch = counted;
    __atomic_store_n(&counted, epoch + 1, __ATOMIC_RELEASE);
    for (uint32_t slot = 0; slot < before_.size(); slot++) {
        const vt_mem_key& key = keys_.values()[slot];
        const vt_mem_stat& stat = stats_.values()[slot];
        Before& before = before_[slot];
        // The last to be written of what belongs together.
        const uint64_t count = __atomic_load_n(&stat.count, __ATOMIC_ACQUIRE);
        if (count == before.count)
            continue;
        HistogramTotals time;
        time.add(stat.time);
        MemoryStalls stalls{.owner = owner_of(key),
                            .kind = key.kind,
                            .pages = load_relaxed(stat.pages) - before.pages,
                            .time = time.since(before.time)};
        stalls.time.max =
            max_of(stalls.time, max_in(stat.time, epoch), max_in(stat.time, epoch + 1));
        before = {.count = count, .pages = before.pages + stalls.pages, .time = time};
        memory.stalls.push_back(std::move(stalls));
    }
}

// All at once: those that come and go meanwhile would send a walk from key to key back to its start.
void MemoryCollector::read_open(Snapshot& snapshot)
{
    const bpf_map* map = (*object_)->maps.mem_open;
    uint32_t count = bpf_map__max_entries(map);
    std::vector<vt_mem_open_key> keys(count);
    std::vector<vt_mem_open> stalls(count);
    uint32_t next = 0;
    const uint64_t now = monotonic_ns();
    if (bpf_map_lookup_batch(bpf_map__fd(map), nullptr, &next, keys.data(), stalls.data(), &count,
                             nullptr) != 0 &&
        errno != ENOENT) { // the end
        snapshot.loss.fallbacks.push_back(
            errno_error("stalls that have not ended are not listed").what);
        return;
    }
    MemorySnapshot& memory = snapshot.memory;
    for (uint32_t i = 0; i < count; i++) {
        const vt_mem_open& stall = stalls[i];
        if (stall.start > now || stall.slot >= before_.size() ||
            (keys[i].waits != 0 && !waits_still(stall.tgid, keys[i].tid)))
            continue;
        memory.open.push_back({.owner = owner_of(keys_.values()[stall.slot]),
                               .kind = stall.kind,
                               .tid = keys[i].tid,
                               .tgid = stall.tgid,
                               .comm = comm_of(stall.comm),
                               .age_ns = now - stall.start});
    }
    std::ranges::stable_sort(memory.open, std::greater{}, &OpenStall::age_ns);
}

void MemoryCollector::read_losses(Loss& loss)
{
    const auto* bss = (*object_)->bss;
    const auto since = [&](const __u64& counter, uint64_t Loss::*field) {
        const uint64_t now = load_relaxed(counter);
        loss.*field += now - std::exchange(counted_.*field, now);
    };
    since(bss->mem_map_full, &Loss::map_full);
    since(bss->mem_clock_anomaly, &Loss::clock_anomaly);
    since(bss->mem_oom_dropped, &Loss::ring_dropped);
    since(bss->mem_start_lost, &Loss::missed_start);
    std::ranges::copy(missing_, std::back_inserter(loss.fallbacks));
}

void MemoryCollector::poll()
{
    ring_buffer__consume(ring_.get());
}

void MemoryCollector::read(Snapshot& snapshot)
{
    poll();
    MemorySnapshot& memory = snapshot.memory;
    read_stalls(memory);
    read_open(snapshot);
    memory.kills = std::exchange(kills_, {});
    read_losses(snapshot.loss);
}

void MemoryCollector::release_cgroup(uint64_t cgroup_id)
{
    release(cgroup_id, 0);
}

void MemoryCollector::release_vm(uint64_t vm)
{
    release(0, vm);
}

void MemoryCollector::release(uint64_t cgroup_id, uint64_t vm)
{
    const int slots = bpf_map__fd((*object_)->maps.mem_slots);
    const int keys = bpf_map__fd((*object_)->maps.mem_keys);
    const int free_slots = bpf_map__fd((*object_)->maps.mem_free_slots);
    for (uint32_t slot = VT_MEM_SLOT_OTHER + 1; slot < before_.size(); slot++) {
        const vt_mem_key key = keys_.values()[slot];
        const bool its = vm != 0 ? key.vm == vm : key.cgroup_id == cgroup_id;
        uint32_t known = 0;
        if (key.kind == 0 || !its || bpf_map_lookup_elem(slots, &key, &known) != 0 ||
            known != slot || bpf_map_delete_elem(slots, &key) != 0)
            continue;
        const vt_mem_key none = {};
        bpf_map_update_elem(keys, &slot, &none, BPF_ANY);
        bpf_map_update_elem(free_slots, nullptr, &slot, BPF_ANY);
    }
}

} // namespace vtrace
