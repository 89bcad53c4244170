// SPDX-License-Identifier: GPL-2.0-only
#include "collect/drop_collector.h"

#include "base/files.h"
#include "bpf/mapped_array.h"
#include "entity/cgroup_paths.h"
#include "symbol/kernel_symbols.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

namespace vtrace {
namespace {

// Kinds of drops: 64 bytes for each, and 32 for each of them and each CPU.
constexpr uint32_t kKinds = 4096;
constexpr uint32_t kReasonArgument = 3; // the number of arguments from which on one is a reason

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

uint64_t packets_of(const vt_drop_count* counts, uint32_t cpus)
{
    uint64_t packets = 0;
    for (uint32_t cpu = 0; cpu < cpus; cpu++)
        packets += counts[cpu].packets;
    return packets;
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
    bpf_map__set_autocreate(object->maps.drop_counts, config.on);
    if (!config.on)
        return;
    bpf_map__set_max_entries(object->maps.drop_counts, kKinds);
    object->rodata->drop_arguments = config.layout.arguments;
    object->rodata->drop_not_yet = config.layout.not_yet;
    object->rodata->drop_consumed = config.layout.consumed;
    bpf_program__set_autoload(object->progs.drop_packet, true);
}

Result<std::unique_ptr<DropCollector>> DropCollector::start(BpfObject& object,
                                                            const DropConfig& config)
{
    std::unique_ptr<DropCollector> self(new DropCollector(object, config));
    const int cpus = libbpf_num_possible_cpus();
    if (cpus < 0)
        return Error{.what = "cannot count the CPUs", .code = -cpus};
    self->cpus_ = static_cast<uint32_t>(cpus);
    self->namespaces_.look();
    DropSnapshot before;
    self->read_listeners(before);
    auto link = attach(object->progs.drop_packet);
    if (!link)
        return link.error();
    self->link_ = std::move(*link);
    return self;
}

void DropCollector::add(const vt_drop_key& key, const vt_drop_count* counts, DropSnapshot& drops)
{
    Counted& known = known_[key];
    Counted now{.packets = packets_of(counts, cpus_), .device = std::move(known.device)};
    for (uint32_t cpu = 0; cpu < cpus_; cpu++) {
        const vt_drop_count& count = counts[cpu];
        now.bytes += count.bytes;
        if (now.device.empty())
            now.device.assign(count.device, ::strnlen(count.device, sizeof(count.device)));
    }
    if (now.device.empty() && key.ifindex != 0)
        now.device = own_device(key.netns, key.ifindex);
    now.idle = now.packets == known.packets;
    const Counted before = std::exchange(known, now);
    if (now.idle)
        return;
    drops.drops.push_back(
        {.cgroup_id = key.cgroup_id,
         .netns = key.netns,
         .reason = layout_.arguments >= kReasonArgument ? layout_.name(key.reason) : "",
         .location = locations_[key.location],
         .ifindex = key.ifindex,
         .device = now.device,
         .ether = key.ether,
         .protocol = key.protocol,
         .tcp_state = key.tcp_state,
         .packets = now.packets - before.packets,
         .bytes = now.bytes - before.bytes});
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
    for (const auto& [key, counted] : known_) {
        if (!counted.device.empty())
            names.try_emplace({key.netns, key.ifindex}, counted.device);
    }
    for (PacketDrops& d : drops.drops) {
        const auto name = names.find({d.netns, d.ifindex});
        if (d.device.empty() && name != names.end())
            d.device = name->second;
    }
}

Status DropCollector::read_counts(DropSnapshot& drops)
{
    constexpr uint32_t kAtOnce = 1024;
    const int map = bpf_map__fd((*object_)->maps.drop_counts);
    std::vector<vt_drop_key> keys;
    std::vector<vt_drop_count> counts;
    uint32_t place = 0;
    for (bool more = true, first = true; more; first = false) {
        const size_t before = keys.size();
        uint32_t count = kAtOnce;
        keys.resize(before + count);
        counts.resize((before + count) * cpus_);
        if (bpf_map_lookup_batch(map, first ? nullptr : &place, &place, &keys[before],
                                 &counts[before * cpus_], &count, nullptr) != 0) {
            if (errno != ENOENT) // the end
                return errno_error("cannot read what was dropped");
            more = false;
        }
        keys.resize(before + count);
        counts.resize(keys.size() * cpus_);
    }
    std::vector<uint64_t> addresses;
    addresses.reserve(keys.size());
    for (const vt_drop_key& key : keys)
        addresses.push_back(key.location);
    name_locations(addresses);
    for (size_t i = 0; i < keys.size(); i++)
        add(keys[i], &counts[i * cpus_], drops);
    name_devices(drops);
    return ok();
}

Status DropCollector::read(Snapshot& snapshot)
{
    DropSnapshot& drops = snapshot.drops;
    if (auto read = read_counts(drops); !read)
        return read;
    make_room();
    auto* bss = (*object_)->bss;
    const uint64_t packets = load_relaxed(bss->drop_other);
    const uint64_t bytes = load_relaxed(bss->drop_other_bytes);
    drops.other_packets = packets - std::exchange(other_packets_, packets);
    drops.other_bytes = bytes - std::exchange(other_bytes_, bytes);
    snapshot.loss.map_full += drops.other_packets;
    if (layout_.arguments < kReasonArgument)
        snapshot.loss.fallbacks.emplace_back(
            "this kernel gives no reasons for drops (since 5.17): by function only, and with "
            "packets that it frees so after their work");
    namespaces_.look();
    drops.namespaces = namespaces_.facts();
    read_listeners(drops);
    return ok();
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

// Those of namespaces and devices that have gone come no more.
void DropCollector::make_room()
{
    constexpr size_t kMany = size_t{kKinds} / 4 * 3;
    if (known_.size() > kMany) {
        std::vector<vt_drop_key> idle;
        for (const auto& [key, counted] : known_) {
            if (counted.idle)
                idle.push_back(key);
        }
        for (const vt_drop_key& key : idle)
            forget(key);
    }
    __atomic_store_n(&(*object_)->bss->drop_full, false, __ATOMIC_RELAXED);
}

// Not what has come since it was read; lost is what comes between two system calls.
void DropCollector::forget(const vt_drop_key& key)
{
    const int map = bpf_map__fd((*object_)->maps.drop_counts);
    std::vector<vt_drop_count> counts(cpus_);
    const auto known = known_.find(key);
    if (bpf_map_lookup_elem(map, &key, counts.data()) == 0 &&
        packets_of(counts.data(), cpus_) != known->second.packets)
        return;
    bpf_map_delete_elem(map, &key);
    known_.erase(known);
}

void DropCollector::release_cgroup(uint64_t cgroup_id)
{
    std::vector<vt_drop_key> its;
    for (const auto& [key, counted] : known_) {
        if (key.cgroup_id == cgroup_id)
            its.push_back(key);
    }
    for (const vt_drop_key& key : its)
        forget(key);
}

} // namespace vtrace
