// SPDX-License-Identifier: GPL-2.0-only
#include "collect/block_collector.h"

#include "base/clock.h"
#include "base/files.h"
#include "bpf/block_layout.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <set>
#include <utility>

namespace vtrace {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr uint32_t kChunkSlots = 64;
// Of figures, at most, if there are so many keys: 3.3 KiB for each key and CPU. Or a part of the memory.
constexpr uint64_t kBytesAtMost = 256UL << 20;
constexpr uint64_t kPartOfMemory = 64;
constexpr uint32_t kChunksAtMost = 255;
constexpr auto kPollEvery = milliseconds(100);
constexpr auto kLookEvery = std::chrono::seconds(1); // for new disks
// A sample, or a look, is to take at most this part of the time between two.
constexpr int64_t kSampleShare = 100;

SlotPlan slot_plan()
{
    const auto cpus = static_cast<uint32_t>(libbpf_num_possible_cpus());
    const uint64_t chunk = uint64_t{kChunkSlots} * cpus * sizeof(vt_block_stat);
    const auto memory = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                        static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    const uint64_t most = std::max(kBytesAtMost, memory / kPartOfMemory);
    return {.cpus = cpus,
            .chunk_slots = kChunkSlots,
            .more_chunks =
                static_cast<uint32_t>(std::clamp<uint64_t>(most / chunk, 1, kChunksAtMost))};
}

// Each field of its own: the kernel writes while they are read.
void add_counts(vt_block_stat& sum, const vt_block_stat& stat)
{
    for (const auto field :
         {&vt_block_stat::count, &vt_block_stat::bytes, &vt_block_stat::errors,
          &vt_block_stat::requeued, &vt_block_stat::unsplit, &vt_block_stat::untimed,
          &vt_block_stat::unaccounted, &vt_block_stat::sequential, &vt_block_stat::random,
          &vt_block_stat::unsplit_time})
        sum.*field += load_relaxed(stat.*field);
    for (size_t i = 0; i < VT_BLOCK_SIZES; i++)
        sum.sizes[i] += load_relaxed(stat.sizes[i]);
}

DiskCounts disk_counts_now()
{
    const auto text = read_file("/proc/diskstats");
    return text ? disk_counts(*text) : DiskCounts{};
}

BlockKey block_key(const vt_request_key& key)
{
    return {.owner = block_owner(key), .device = key.device, .op = key.op, .flags = key.flags};
}

} // namespace

void BlockCollector::prepare(BpfObject& object, const BlockConfig& config)
{
    const bool on = config.parts.any();
    auto& maps = object->maps;
    for (bpf_map* map : {maps.block_slots, maps.block_excluded, maps.block_free_slots,
                         maps.block_keys, maps.block_first, maps.block_more, maps.block_devices,
                         maps.block_slow, maps.block_issued, maps.block_last_end, maps.block_open})
        bpf_map__set_autocreate(map, on);
    if (!on)
        return;
    const SlotPlan plan = slot_plan();
    ChunkedArray<vt_block_stat>::prepare(maps.block_first, maps.block_more, plan);
    for (bpf_map* map :
         {maps.block_slots, maps.block_free_slots, maps.block_keys, maps.block_last_end})
        bpf_map__set_max_entries(map, plan.max_slots());
    const RequestFlags flags = request_flags();
    auto* rodata = object->rodata;
    rodata->block_chunk_slots = plan.chunk_slots;
    rodata->block_flag_io_stat = flags.io_stat;
    rodata->block_flag_flush_seq = flags.flush_seq;
    rodata->block_only_device = config.device;
    rodata->block_slower_ns = config.slower_ns;
    rodata->block_pattern = config.parts.pattern;
    auto& progs = object->progs;
    for (bpf_program* program :
         {progs.block_complete, progs.block_issue, progs.block_requeue, progs.block_find_open})
        bpf_program__set_autoload(program, true);
    bpf_program__set_autoload(progs.block_find_held, config.parts.samples);
}

Result<std::unique_ptr<BlockCollector>> BlockCollector::start(BpfObject& object,
                                                              const BlockConfig& config,
                                                              OnSlow on_slow)
{
    auto queues = BlockQueues::start(object);
    if (!queues)
        return queues.error();
    auto& maps = object->maps;
    const SlotPlan plan = slot_plan();
    auto stats = ChunkedArray<vt_block_stat>::start(maps.block_first, maps.block_more, plan);
    if (!stats)
        return stats.error();
    std::unique_ptr<BlockCollector> self(
        new BlockCollector(object, config, std::move(*queues), std::move(*stats)));
    auto keys = MappedArray<vt_request_key>::map(bpf_map__fd(maps.block_keys), plan.max_slots());
    if (!keys)
        return keys.error();
    self->keys_ = std::move(*keys);
    self->on_slow_ = std::move(on_slow);
    if (config.slower_ns != 0) {
        const auto one = [](void* collector, void* data, size_t) {
            return static_cast<BlockCollector*>(collector)->slow_request(
                *static_cast<const vt_slow_request*>(data));
        };
        self->ring_.reset(ring_buffer__new(bpf_map__fd(maps.block_slow), one, self.get(), nullptr));
        if (!self->ring_)
            return errno_error("cannot open the buffer of slow requests");
    }
    if (auto handed = self->hand_out_slots(); !handed)
        return handed.error();
    if (auto attached = self->attach_all(); !attached)
        return attached.error();
    self->sample_every_ = config.sample_every;
    // What came between two attachments is of no window.
    Snapshot before;
    if (auto read = self->read(before); !read)
        return read.error();
    self->disks_ = disk_counts_now();
    self->kernels_ = self->counted_requests_ = self->unseen_ = 0;
    return self;
}

Status BlockCollector::attach_all()
{
    auto& progs = (*object_)->progs;
    std::vector<bpf_program*> wanted = {progs.block_complete, progs.block_requeue};
    if (config_.parts.pattern)
        wanted.push_back(progs.block_issue);
    for (bpf_program* program : wanted) {
        auto link = attach(program);
        if (!link)
            return link.error();
        links_.push_back(std::move(*link));
    }
    return ok();
}

// Those of the newest chunk.
Status BlockCollector::hand_out_slots()
{
    const int free_slots = bpf_map__fd((*object_)->maps.block_free_slots);
    const auto from = static_cast<uint32_t>(before_.size());
    for (uint32_t slot = std::max(from, VT_BLOCK_SLOT_OTHER + 1); slot < stats_.slots(); slot++) {
        if (bpf_map_update_elem(free_slots, nullptr, &slot, BPF_ANY) != 0)
            return errno_error("cannot hand out slots for figures of disks");
    }
    before_.resize(stats_.slots());
    return ok();
}

// Half a chunk of free slots, while there is room for more. If some were missing: each request that found none may
// need one.
Status BlockCollector::make_room()
{
    uint32_t taken = 0;
    for (uint32_t slot = 0; slot < stats_.slots(); slot++)
        taken += keys_.values()[slot].device != 0;
    const uint64_t full = load_relaxed((*object_)->bss->block_map_full);
    const uint64_t missed = full - std::exchange(full_seen_, full);
    const uint64_t most = 8UL * stats_.slots(); // at once
    const uint64_t wanted = taken + kChunkSlots / 2 + std::min(missed, most);
    while (stats_.slots() < wanted) {
        const auto grown = stats_.grow();
        if (!grown)
            return grown.error();
        if (!*grown)
            break;
        if (auto handed = hand_out_slots(); !handed)
            return handed;
    }
    return ok();
}

// The kernel keeps when requests are issued for wbt, iocost and the like; not for a disk that has none of it.
Status BlockCollector::keep_issues()
{
    uint32_t& keep = (*object_)->bss->block_keep_issues;
    if (keep != 0 || load_relaxed((*object_)->bss->block_unsplit) == 0)
        return ok();
    if (!config_.parts.pattern) {
        auto link = attach((*object_)->progs.block_issue);
        if (!link)
            return link.error();
        links_.push_back(std::move(*link));
    }
    __atomic_store_n(&keep, 1, __ATOMIC_RELEASE);
    return ok();
}

nanoseconds BlockCollector::poll_every() const
{
    if (!config_.parts.samples)
        return kPollEvery;
    const nanoseconds left = sampled_ + sample_every_ - steady_clock::now();
    return std::clamp<nanoseconds>(left, nanoseconds(0), kPollEvery);
}

Status BlockCollector::poll()
{
    if (auto made = make_room(); !made)
        return made;
    if (auto kept = keep_issues(); !kept)
        return kept;
    if (ring_)
        ring_buffer__consume(ring_.get());
    if (config_.parts.samples && steady_clock::now() - sampled_ >= sample_every_)
        sample();
    return ok();
}

int BlockCollector::slow_request(const vt_slow_request& slow)
{
    on_slow_({.key = block_key(slow.key),
              .device = device_name(slow.key.device),
              .end_ns = to_wall_clock(slow.end),
              .sector = slow.sector,
              .bytes = slow.bytes,
              .queue_ns = slow.queue,
              .device_ns = slow.device,
              .total_ns = slow.total,
              .split = slow.unsplit == 0,
              .failed = slow.error != 0});
    return 0;
}

// Who has requests on which device now. The longer it takes, the rarer it is done.
void BlockCollector::sample()
{
    if (steady_clock::now() >= look_again_)
        look_for_disks();
    const uint64_t begin = thread_cpu_ns();
    std::map<uint32_t, std::map<OwnerId, BlockPresence>> now; // by device
    queues_.walk(config_.device, true, [&](const vt_block_open& open) {
        BlockPresence& found = now[open.key.device][block_owner(open.key)];
        found.queued += open.stage == VT_BLOCK_QUEUED ? 1 : 0;
        found.issued += open.stage == VT_BLOCK_ISSUED ? 1 : 0;
        found.held.by_limit |= open.stage == VT_BLOCK_HELD_BY_LIMIT;
        found.held.by_cost |= open.stage == VT_BLOCK_HELD_BY_COST;
        found.held.by_wbt |= open.stage == VT_BLOCK_HELD_BY_WBT;
    });
    for (const auto& [device, owners] : now)
        add_company(device, owners);
    samples_++;
    sampled_ = steady_clock::now();
    // Not in step with anything else that goes by the clock.
    std::uniform_real_distribution<double> around(0.5, 1.5);
    const auto every = std::max<nanoseconds>(
        config_.sample_every,
        nanoseconds(static_cast<int64_t>(thread_cpu_ns() - begin) * kSampleShare));
    sample_every_ = nanoseconds(std::llround(static_cast<double>(every.count()) * around(random_)));
}

void BlockCollector::add_company(uint32_t device, const std::map<OwnerId, BlockPresence>& owners)
{
    constexpr size_t kMost = 2000;
    Company company{device, {}};
    for (const auto& [owner, found] : owners)
        company.second.emplace_back(owner, found.queued + found.issued != 0, found.held);
    auto known = companies_.find(company);
    if (known == companies_.end()) {
        if (companies_.size() == kMost) {
            not_sampled_++;
            return;
        }
        BlockCompany empty{.device = device};
        for (const auto& [owner, found] : owners)
            empty.owners.push_back({.owner = owner, .held = found.held});
        known = companies_.emplace(std::move(company), std::move(empty)).first;
    }
    known->second.samples++;
    auto sum = known->second.owners.begin(); // in the same order
    for (const auto& [owner, found] : owners) {
        sum->queued += found.queued;
        sum->issued += found.issued;
        ++sum;
    }
}

// Nothing if nothing has happened.
std::optional<BlockFigure> BlockCollector::figure(uint32_t slot, uint32_t epoch)
{
    Before now;
    for (uint32_t cpu = 0; cpu < stats_.cpus(); cpu++)
        add_counts(now.counts, stats_.entry(slot, cpu));
    Before& before = before_[slot];
    // What is counted, but not in its histograms yet, the next time has.
    if (std::memcmp(&now.counts, &before.counts, offsetof(vt_block_stat, queue)) == 0)
        return std::nullopt;
    std::array<uint64_t, 3> max{};
    std::array<uint64_t, 3> max_next{};
    for (uint32_t cpu = 0; cpu < stats_.cpus(); cpu++) {
        const vt_block_stat& stat = stats_.entry(slot, cpu);
        now.queue.add(stat.queue);
        now.device.add(stat.device);
        now.total.add(stat.total);
        const std::array<const vt_hist*, 3> hists = {&stat.queue, &stat.device, &stat.total};
        for (size_t i = 0; i < hists.size(); i++) {
            max.at(i) = std::max(max.at(i), max_in(*hists.at(i), epoch));
            max_next.at(i) = std::max(max_next.at(i), max_in(*hists.at(i), epoch + 1));
        }
    }
    const auto since = [&](__u64 vt_block_stat::*field) {
        return now.counts.*field - before.counts.*field;
    };
    BlockFigure figure{.key = block_key(keys_.values()[slot]),
                       .count = since(&vt_block_stat::count),
                       .bytes = since(&vt_block_stat::bytes),
                       .errors = since(&vt_block_stat::errors),
                       .requeued = since(&vt_block_stat::requeued),
                       .unsplit = since(&vt_block_stat::unsplit),
                       .unsplit_ns = since(&vt_block_stat::unsplit_time),
                       .untimed = since(&vt_block_stat::untimed),
                       .unaccounted = since(&vt_block_stat::unaccounted),
                       .sequential = since(&vt_block_stat::sequential),
                       .random = since(&vt_block_stat::random),
                       .queue = now.queue.since(before.queue),
                       .device = now.device.since(before.device),
                       .total = now.total.since(before.total)};
    for (size_t i = 0; i < VT_BLOCK_SIZES; i++)
        figure.sizes.at(i) = now.counts.sizes[i] - before.counts.sizes[i];
    const std::array<Histogram*, 3> found = {&figure.queue, &figure.device, &figure.total};
    for (size_t i = 0; i < found.size(); i++)
        found.at(i)->max = max_of(*found.at(i), max.at(i), max_next.at(i));
    before = now;
    return figure;
}

void BlockCollector::read_figures(BlockSnapshot& block)
{
    uint32_t& counted = (*object_)->data->block_epoch;
    const uint32_t epoch = counted;
    __atomic_store_n(&counted, epoch + 1, __ATOMIC_RELEASE);
    for (uint32_t slot = 0; slot < before_.size(); slot++) {
        if (slot != VT_BLOCK_SLOT_OTHER && keys_.values()[slot].device == 0)
            continue; // never taken
        auto found = figure(slot, epoch);
        if (!found)
            continue;
        counted_requests_ += found->count - found->unaccounted;
        if (slot == VT_BLOCK_SLOT_OTHER)
            found->key = {.op = kAnyOperation};
        block.figures.push_back(std::move(*found));
    }
}

void BlockCollector::look_for_disks()
{
    const uint64_t begin = thread_cpu_ns();
    queues_.update();
    const nanoseconds rarely(static_cast<int64_t>(thread_cpu_ns() - begin) * kSampleShare);
    look_again_ = steady_clock::now() + std::max<nanoseconds>(kLookEvery, rarely);
}

void BlockCollector::read_open(BlockSnapshot& block)
{
    constexpr size_t kMost = 1000;
    look_for_disks();
    queues_.walk(config_.device, false, [&](const vt_block_open& open) {
        const uint64_t now = monotonic_ns();
        if (open.start == 0 || open.start > now)
            return;
        const bool issued = open.stage == VT_BLOCK_ISSUED;
        const bool known = issued && open.issued != 0 && open.issued <= now;
        block.open.push_back({.key = block_key(open.key),
                              .sector = open.sector,
                              .bytes = open.bytes,
                              .age_ns = now - open.start,
                              .device_ns = known ? now - open.issued : 0,
                              .issued = issued});
    });
    std::ranges::stable_sort(block.open, std::greater{}, &OpenRequest::age_ns);
    block.open.resize(std::min(block.open.size(), kMost));
}

void BlockCollector::read_samples(BlockSnapshot& block)
{
    block.samples = std::exchange(samples_, 0);
    for (auto& [who, company] : std::exchange(companies_, {}))
        block.companies.push_back(std::move(company));
}

// Of the disk that has the number now, else of the last one that had.
std::string BlockCollector::device_name(uint32_t number)
{
    if (const auto known = disks_.find(number); known != disks_.end())
        return known->second.name;
    vt_block_device device{};
    if (bpf_map_lookup_elem(bpf_map__fd((*object_)->maps.block_devices), &number, &device) != 0)
        return "";
    const std::string_view name(device.name, sizeof(device.name));
    return std::string(name.substr(0, name.find('\0')));
}

// The kernel may not run a program on an event: while it runs one already, or as it sees fit. Its own count of requests,
// which was read before the figures, is no more than theirs then: what it is more is a loss, and the least that there is.
void BlockCollector::hold_against(const DiskCounts& now, Loss& loss)
{
    for (const Disk& disk : disks_present()) {
        const auto counted = now.find(disk.number);
        const auto before = disks_.find(disk.number);
        if (disk.bio_based || !wanted(disk.number) || counted == now.end())
            continue; // or a path of another one
        const uint64_t from = before == disks_.end() ? 0 : before->second.ios;
        kernels_ += counted->second.ios - std::min(from, counted->second.ios);
    }
    if (config_.subtree || kernels_ <= counted_requests_ + unseen_)
        return;
    loss.unseen += kernels_ - counted_requests_ - unseen_;
    unseen_ = kernels_ - counted_requests_;
}

// Those that have figures, and those that the kernel's own counts are all that is known of.
void BlockCollector::read_devices(BlockSnapshot& block, const DiskCounts& now)
{
    std::set<uint32_t> numbers;
    for (const BlockFigure& figure : block.figures)
        numbers.insert(figure.key.device);
    for (const OpenRequest& open : block.open)
        numbers.insert(open.key.device);
    for (const BlockCompany& company : block.companies)
        numbers.insert(company.device);
    numbers.erase(0); // of VT_BLOCK_SLOT_OTHER
    for (const uint32_t number : numbers)
        block.devices.push_back({.number = number, .name = device_name(number)});
    for (const Disk& disk : disks_present()) {
        const auto counted = now.find(disk.number);
        if (!disk.bio_based || !wanted(disk.number) || counted == now.end())
            continue;
        const auto last = disks_.find(disk.number);
        const DiskCount from = last == disks_.end() ? DiskCount{} : last->second;
        const DiskCount& to = counted->second;
        if (to.ios <= from.ios || to.bytes < from.bytes || to.ns < from.ns)
            continue;
        block.devices.push_back({.number = disk.number,
                                 .name = disk.name,
                                 .bio_based = true,
                                 .ios = to.ios - from.ios,
                                 .bytes = to.bytes - from.bytes,
                                 .ns = to.ns - from.ns});
    }
}

void BlockCollector::read_losses(Loss& loss)
{
    const auto* bss = (*object_)->bss;
    const auto since = [&](const __u64& counter, uint64_t Loss::*field) {
        const uint64_t now = load_relaxed(counter);
        loss.*field += now - std::exchange(counted_.*field, now);
    };
    since(bss->block_map_full, &Loss::map_full);
    since(bss->block_clock_anomaly, &Loss::clock_anomaly);
    since(bss->block_slow_dropped, &Loss::ring_dropped);
    loss.samples_missed += std::exchange(not_sampled_, 0);
    if (queues_.closed() != 0)
        loss.fallbacks.push_back(std::to_string(queues_.closed()) +
                                 " queues of disks could not be opened: what is in flight there is "
                                 "not shown (ulimit -n)");
    const auto told = [&](uint64_t now, uint64_t& before, const char* text) {
        if (const uint64_t added = now - std::exchange(before, now); added != 0)
            loss.fallbacks.push_back(std::to_string(added) + text);
    };
    told(queues_.failed(), walks_failed_,
         " looks at what is in flight were refused, or had too much to look at: not all is shown");
    told(load_relaxed(bss->block_issues_dropped), issues_dropped_,
         " requests have no time in the queue and on the device: no room to keep their issue");
    told(load_relaxed(bss->block_unsplit), unsplit_seen_,
         " requests have a total time only: their disk does not keep when they were issued "
         "(now kept by vtrace)");
}

Status BlockCollector::read(Snapshot& snapshot)
{
    if (ring_)
        ring_buffer__consume(ring_.get());
    BlockSnapshot& block = snapshot.block;
    DiskCounts now = disk_counts_now(); // before the figures: see hold_against()
    read_figures(block);
    read_open(block);
    read_samples(block);
    read_devices(block, now);
    hold_against(now, snapshot.loss);
    disks_ = std::move(now);
    read_losses(snapshot.loss);
    return make_room();
}

void BlockCollector::release_cgroup(uint64_t cgroup_id)
{
    const int slots = bpf_map__fd((*object_)->maps.block_slots);
    const int keys = bpf_map__fd((*object_)->maps.block_keys);
    const int free_slots = bpf_map__fd((*object_)->maps.block_free_slots);
    for (uint32_t slot = VT_BLOCK_SLOT_OTHER + 1; slot < before_.size(); slot++) {
        const vt_request_key key = keys_.values()[slot];
        if (key.device == 0 || key.cgroup_id != cgroup_id)
            continue;
        uint32_t its = 0;
        if (bpf_map_lookup_elem(slots, &key, &its) != 0 || its != slot ||
            bpf_map_delete_elem(slots, &key) != 0)
            continue;
        const vt_request_key none = {};
        bpf_map_update_elem(keys, &slot, &none, BPF_ANY);
        bpf_map_update_elem(free_slots, nullptr, &slot, BPF_ANY);
    }
}

} // namespace vtrace
