// SPDX-License-Identifier: GPL-2.0-only
#include "collect/drop_collector.h"

#include "base/files.h"
#include "entity/cgroup_paths.h"
#include "symbol/kernel_symbols.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

namespace vtrace {
namespace {

// Kinds of drops: 170 bytes for each, 16 for each of them and each CPU, and 8 KiB for each CPU. Slot 0 is of what
// found none.
constexpr uint32_t kKinds = 4096;
constexpr uint32_t kSlots = 1 + kKinds;
constexpr uint32_t kReasonArgument = 3; // the number of arguments from which on one is a reason

uint32_t possible_cpus()
{
    return static_cast<uint32_t>(libbpf_num_possible_cpus());
}

// In the namespace that vtrace is in itself.
std::string own_device(uint32_t netns, uint32_t ifindex)
{
    struct stat st = {};
    std::array<char, IF_NAMESIZE> name{};
    if (::stat("/proc/self/ns/net", &st) != 0 || st.st_ino != netns ||
        ::if_indextoname(ifindex, name.data()) == nullptr)
        return {};
    return name.data();
}

} // namespace

bool DropCollector::Less::operator()(const vt_drop_key& a, const vt_drop_key& b) const
{
    return std::memcmp(&a, &b, sizeof(a)) < 0;
}

DropConfig drop_config(bool on, const CgroupHierarchy& hierarchy)
{
    return on ? DropConfig{.on = on, .layout = drop_layout(), .hierarchy = hierarchy}
              : DropConfig{};
}

void keep_drops_in(uint64_t cgroup_id, Snapshot& snapshot)
{
    const CgroupPaths paths(snapshot.cgroups);
    const auto outside = [&](const PacketDrops& drops) {
        const auto above = paths.upwards(cgroup_of(snapshot.drops, drops));
        return std::ranges::find(above, cgroup_id) == above.end();
    };
    std::erase_if(snapshot.drops.drops, outside);
    std::erase_if(snapshot.drops.listeners,
                  [&](const ListenDrops& l) { return outside({.netns = l.netns}); });
}

void DropCollector::prepare(BpfObject& object, const DropConfig& config)
{
    auto& maps = object->maps;
    for (bpf_map* map :
         {maps.drop_slots, maps.drop_free_slots, maps.drop_kinds, maps.drop_counts, maps.drop_near})
        bpf_map__set_autocreate(map, config.on);
    if (!config.on)
        return;
    const uint32_t cpus = possible_cpus();
    bpf_map__set_max_entries(maps.drop_slots, kKinds);
    bpf_map__set_max_entries(maps.drop_free_slots, kKinds);
    bpf_map__set_max_entries(maps.drop_kinds, kSlots);
    bpf_map__set_max_entries(maps.drop_counts, kSlots * cpus);
    bpf_map__set_max_entries(maps.drop_near, cpus << VT_DROP_NEAR_BITS);
    object->rodata->drop_slots_per_cpu = kSlots;
    object->rodata->drop_arguments = config.layout.arguments;
    object->rodata->drop_not_yet = config.layout.not_yet;
    object->rodata->drop_consumed = config.layout.consumed;
    bpf_program__set_autoload(object->progs.drop_packet, true);
}

Result<std::unique_ptr<DropCollector>> DropCollector::start(BpfObject& object,
                                                            const DropConfig& config)
{
    std::unique_ptr<DropCollector> self(new DropCollector(object, config));
    self->cpus_ = possible_cpus();
    if (auto mapped = self->map_all(); !mapped)
        return mapped.error();
    self->namespaces_.look();
    DropSnapshot before;
    self->read_listeners(before);
    auto link = attach(object->progs.drop_packet);
    if (!link)
        return link.error();
    self->link_ = std::move(*link);
    return self;
}

Status DropCollector::map_all()
{
    auto& maps = (*object_)->maps;
    if (auto mapped = map_all_of(kinds_, maps.drop_kinds); !mapped)
        return mapped;
    if (auto mapped = map_all_of(counts_, maps.drop_counts); !mapped)
        return mapped;
    known_.resize(kSlots);
    for (uint32_t slot = 1; slot < kSlots; slot++) {
        if (bpf_map_update_elem(bpf_map__fd(maps.drop_free_slots), nullptr, &slot, BPF_ANY) != 0)
            return errno_error("cannot hand out slots for dropped packets");
    }
    return ok();
}

DropCollector::Counts DropCollector::counted(uint32_t slot) const
{
    Counts sum;
    for (uint32_t cpu = 0; cpu < cpus_; cpu++) {
        const vt_drop_count& count = counts_.values()[cpu * kSlots + slot];
        sum.packets += load_relaxed(count.packets);
        sum.bytes += load_relaxed(count.bytes);
    }
    return sum;
}

// What came to the slot since the last read.
DropCollector::Counts DropCollector::read_new(uint32_t slot)
{
    Kind& own = known_[slot];
    const Counts now = counted(slot);
    own.idle = now.packets == own.before.packets;
    if (own.idle)
        return {};
    const Counts before = std::exchange(own.before, now);
    return {.packets = now.packets - before.packets, .bytes = now.bytes - before.bytes};
}

const std::string& DropCollector::device_of(uint32_t slot)
{
    const vt_drop_kind& kind = kinds_.values()[slot];
    std::string& device = known_[slot].device;
    if (device.empty())
        device.assign(kind.device, ::strnlen(kind.device, sizeof(kind.device)));
    if (device.empty() && kind.key.ifindex != 0)
        device = own_device(kind.key.netns, kind.key.ifindex);
    return device;
}

// All of it is read only as an address comes up for the first time: it takes tens of milliseconds.
void DropCollector::name_locations(const std::vector<uint64_t>& addresses)
{
    if (std::ranges::all_of(addresses, [&](uint64_t a) { return locations_.contains(a); }))
        return;
    const auto text = read_file("/proc/kallsyms");
    const SymbolTable symbols = text ? parse_kallsyms(*text) : SymbolTable{};
    for (const uint64_t address : addresses) {
        const std::string_view name = symbols.find(address);
        locations_.try_emplace(address,
                               name.empty() ? fmt::format("{:#x}", address) : std::string(name));
    }
}

// Of a device that only a number is known of another drop may tell the name.
void DropCollector::name_devices(DropSnapshot& drops) const
{
    std::map<std::pair<uint32_t, uint32_t>, std::string_view> names;
    for (uint32_t slot = 1; slot < kSlots; slot++) {
        const vt_drop_key& key = kinds_.values()[slot].key;
        if (!known_[slot].device.empty())
            names.try_emplace({key.netns, key.ifindex}, known_[slot].device);
    }
    for (PacketDrops& d : drops.drops) {
        const auto name = names.find({d.netns, d.ifindex});
        if (d.device.empty() && name != names.end())
            d.device = name->second;
    }
}

void DropCollector::read_counts(DropSnapshot& drops)
{
    struct Came {
        Counts counts;
        std::string device;
    };
    std::map<vt_drop_key, Came, Less> came; // one that has just lost its slot may have another one
    taken_ = 0;
    for (uint32_t slot = 1; slot < kSlots; slot++) {
        const vt_drop_kind& kind = kinds_.values()[slot];
        if (load_relaxed(kind.taken) == 0)
            continue;
        taken_++;
        const Counts own = read_new(slot);
        if (own.packets == 0)
            continue;
        Came& of = came[kind.key];
        of.counts.packets += own.packets;
        of.counts.bytes += own.bytes;
        of.device = device_of(slot);
    }
    std::vector<uint64_t> addresses;
    addresses.reserve(came.size());
    for (const auto& [key, of] : came)
        addresses.push_back(key.location);
    name_locations(addresses);
    for (const auto& [key, of] : came) {
        drops.drops.push_back(
            {.cgroup_id = key.cgroup_id,
             .netns = key.netns,
             .reason = layout_.arguments >= kReasonArgument ? layout_.name(key.reason) : "",
             .location = locations_[key.location],
             .ifindex = key.ifindex,
             .device = of.device,
             .ether = key.ether,
             .protocol = key.protocol,
             .tcp_state = key.tcp_state,
             .packets = of.counts.packets,
             .bytes = of.counts.bytes});
    }
    name_devices(drops);
    const Counts other = read_new(0);
    drops.other_packets = other.packets;
    drops.other_bytes = other.bytes;
}

void DropCollector::read(Snapshot& snapshot)
{
    DropSnapshot& drops = snapshot.drops;
    read_counts(drops);
    free_left();
    make_room();
    snapshot.loss.map_full += drops.other_packets;
    if (layout_.arguments < kReasonArgument)
        snapshot.loss.fallbacks.emplace_back(
            "this kernel gives no reasons for drops (since 5.17): by function only, and with "
            "packets that it frees so after their work");
    namespaces_.look();
    drops.namespaces = namespaces_.facts();
    read_listeners(drops);
}

// Of a namespace from when it is seen first.
void DropCollector::read_listeners(DropSnapshot& drops)
{
    std::map<uint32_t, ListenDrops> now;
    for (const auto& [netns, pid] : namespaces_.processes()) {
        const auto netstat = read_file("/proc/" + std::to_string(pid) + "/net/netstat");
        if (!netstat)
            continue;
        const ListenDrops counts = listen_counts(*netstat);
        now[netns] = counts;
        const auto before = listeners_.find(netns);
        if (before != listeners_.end() && counts.drops > before->second.drops &&
            counts.overflows >= before->second.overflows)
            drops.listeners.push_back({.netns = netns,
                                       .drops = counts.drops - before->second.drops,
                                       .overflows = counts.overflows - before->second.overflows});
    }
    listeners_ = std::move(now);
}

// What was still under way when their slots were given up has been read by now.
void DropCollector::free_left()
{
    auto& maps = (*object_)->maps;
    for (const uint32_t slot : left_) {
        const vt_drop_kind none = {};
        bpf_map_update_elem(bpf_map__fd(maps.drop_kinds), &slot, &none, BPF_ANY);
        known_[slot].device.clear();
        known_[slot].idle = false;
        bpf_map_update_elem(bpf_map__fd(maps.drop_free_slots), nullptr, &slot, BPF_ANY);
    }
    left_.clear();
}

// Those of namespaces and devices that have gone come no more.
void DropCollector::make_room()
{
    constexpr size_t kMany = size_t{kKinds} / 4 * 3;
    if (taken_ <= kMany)
        return;
    std::vector<uint32_t> idle;
    for (uint32_t slot = 1; slot < kSlots; slot++) {
        if (known_[slot].idle)
            idle.push_back(slot);
    }
    leave(idle);
}

// Gives up the slots: what comes by then is read once more, and is still of their keys.
void DropCollector::leave(const std::vector<uint32_t>& slots)
{
    const int map = bpf_map__fd((*object_)->maps.drop_slots);
    const size_t before = left_.size();
    for (const uint32_t slot : slots) {
        const vt_drop_key key = kinds_.values()[slot].key;
        uint32_t known = 0;
        if (bpf_map_lookup_elem(map, &key, &known) == 0 && known == slot &&
            bpf_map_delete_elem(map, &key) == 0)
            left_.insert(slot);
    }
    // What CPUs remember is looked up anew.
    if (left_.size() != before)
        __atomic_fetch_add(&(*object_)->data->drop_changes, 1, __ATOMIC_RELEASE);
}

void DropCollector::release_cgroup(uint64_t cgroup_id)
{
    std::vector<uint32_t> its;
    for (uint32_t slot = 1; slot < kSlots; slot++) {
        const vt_drop_kind& kind = kinds_.values()[slot];
        if (load_relaxed(kind.taken) != 0 && kind.key.cgroup_id == cgroup_id)
            its.push_back(slot);
    }
    leave(its);
}

} // namespace vtrace
