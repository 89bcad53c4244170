// SPDX-License-Identifier: GPL-2.0-only
#include "collect/netq_collector.h"

#include "entity/cgroup_paths.h"
#include "entity/process_cgroup.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace vtrace {
namespace {

// Beside a slot for each CPU: of devices 3.1 KiB each, for each CPU that polls or sends by one …
constexpr uint32_t kDevices = 1024;
constexpr uint32_t kDevicesPerCpu = 16;
// … and of hops 1.1 KiB each, for each CPU that packets take one on.
constexpr uint32_t kHops = 4096;
constexpr uint32_t kHopsPerCpu = 128;
constexpr uint32_t kLoopback =
    1; // its ifindex, in each namespace: LOOPBACK_IFINDEX, include/net/flow.h
// For who holds a tap that nobody held.
constexpr std::chrono::seconds kLookAgain{10};

using std::chrono::steady_clock;

uint32_t possible_cpus()
{
    return static_cast<uint32_t>(libbpf_num_possible_cpus());
}

NetDeviceId id_of(uint64_t device)
{
    return {.netns = static_cast<uint32_t>(device >> 32), .ifindex = static_cast<uint32_t>(device)};
}

NetPoint point_of(uint64_t device, uint16_t point)
{
    if (point != VT_NETQ_SENT && point != VT_NETQ_RECEIVED)
        return {};
    return {.device = id_of(device),
            .where = point == VT_NETQ_SENT ? NetPoint::Where::kSent : NetPoint::Where::kReceived};
}

template <size_t N> std::string text_of(const char (&name)[N])
{
    return {name, ::strnlen(name, N)};
}

// Since `before`; none if the device is another one by now: they only grow.
std::optional<NetCounts> since(const NetCounts& now, const NetCounts& before)
{
    NetCounts came;
    for (const auto field : {&NetCounts::rx_packets, &NetCounts::rx_bytes, &NetCounts::rx_lost,
                             &NetCounts::tx_packets, &NetCounts::tx_bytes, &NetCounts::tx_lost}) {
        if (now.*field < before.*field)
            return std::nullopt;
        came.*field = now.*field - before.*field;
    }
    return came;
}

std::vector<bpf_program*> hooks(BpfObject& object, const NetqConfig& config)
{
    auto& progs = object->progs;
    // What ends something before what begins it.
    return {progs.netq_napi_poll,
            progs.netq_consumed,
            progs.netq_dropped,
            progs.netq_dequeue,
            progs.netq_received,
            progs.netq_sent,
            config.has_enqueue ? progs.netq_enqueue : progs.netq_come};
}

// 0 if it has gone.
uint64_t cgroup_of_process(uint32_t pid, const CgroupHierarchy& hierarchy)
{
    const auto path = process_cgroup("/proc/" + std::to_string(pid), hierarchy.kernel_id);
    const auto cgroup = find_cgroup(hierarchy, path.value_or(""));
    return path && cgroup ? *cgroup : 0;
}

} // namespace

NetqConfig netq_config(bool on, const CgroupHierarchy& hierarchy)
{
    NetqConfig config{.on = on, .hierarchy = hierarchy};
    if (!on)
        return config;
    btf* types = btf__load_vmlinux_btf();
    config.has_enqueue =
        types != nullptr &&
        btf__find_by_name_kind(types, "btf_trace_qdisc_enqueue", BTF_KIND_TYPEDEF) > 0;
    btf__free(types);
    return config;
}

void select_devices_in(uint64_t cgroup_id, uint64_t vm, Snapshot& snapshot)
{
    const CgroupPaths paths(snapshot.cgroups);
    for (NetDevice& device : snapshot.netq.devices) {
        const NetOwner owner = owner_of(snapshot.netq, device);
        const auto above = paths.upwards(owner.cgroup_id);
        const auto is_vm = [&](const EntityFact& f) { return f.vm == vm && f.pid == owner.pid; };
        device.selected = vm != 0 ? owner.pid != 0 && std::ranges::any_of(snapshot.entities, is_vm)
                                  : std::ranges::find(above, cgroup_id) != above.end();
    }
}

void NetqCollector::prepare(BpfObject& object, const NetqConfig& config)
{
    auto& maps = object->maps;
    for (bpf_map* map : {maps.netq_queued, maps.netq_packets, maps.netq_device_slots,
                         maps.netq_hop_slots, maps.netq_free_devices, maps.netq_free_hops,
                         maps.netq_devices, maps.netq_hops, maps.netq_known})
        bpf_map__set_autocreate(map, config.on);
    if (!config.on)
        return;
    const uint32_t cpus = possible_cpus();
    for (bpf_map* map : {maps.netq_device_slots, maps.netq_free_devices, maps.netq_devices})
        bpf_map__set_max_entries(map, kDevices + kDevicesPerCpu * cpus);
    for (bpf_map* map : {maps.netq_hop_slots, maps.netq_free_hops, maps.netq_hops})
        bpf_map__set_max_entries(map, kHops + kHopsPerCpu * cpus);
    object->rodata->netq_cpus = cpus;
    for (bpf_program* program : hooks(object, config))
        bpf_program__set_autoload(program, true);
}

Result<std::unique_ptr<NetqCollector>> NetqCollector::start(BpfObject& object,
                                                            const NetqConfig& config)
{
    std::unique_ptr<NetqCollector> self(new NetqCollector(object, config));
    self->cpus_ = possible_cpus();
    if (auto mapped = self->map_all(); !mapped)
        return mapped.error();
    self->namespaces_.look();
    if (auto attached = self->attach_all(); !attached)
        return attached.error();
    // What came between two attachments is of no window.
    Snapshot before;
    self->read(before);
    return self;
}

Status NetqCollector::map_all()
{
    auto& maps = (*object_)->maps;
    if (auto mapped = map_all_of(devices_, maps.netq_devices); !mapped)
        return mapped;
    device_before_.resize(devices_.values().size());
    if (auto mapped = map_all_of(hops_, maps.netq_hops); !mapped)
        return mapped;
    hop_before_.resize(hops_.values().size());
    const auto hand_out = [&](const bpf_map* queue, size_t slots) -> Status {
        for (uint32_t slot = cpus_; slot < slots; slot++) {
            if (bpf_map_update_elem(bpf_map__fd(queue), nullptr, &slot, BPF_ANY) != 0)
                return errno_error("cannot hand out slots for network devices");
        }
        return ok();
    };
    if (auto done = hand_out(maps.netq_free_devices, device_before_.size()); !done)
        return done;
    return hand_out(maps.netq_free_hops, hop_before_.size());
}

Status NetqCollector::attach_all()
{
    for (bpf_program* program : hooks(*object_, config_)) {
        auto link = attach(program);
        if (!link)
            return link.error();
        links_.push_back(std::move(*link));
    }
    return ok();
}

NetqCollector::Devices NetqCollector::read_links(Loss& loss)
{
    NetLinks all = all_net_links();
    if (all.missed != 0)
        loss.fallbacks.push_back(std::to_string(all.missed) +
                                 " network namespaces could not be looked at, or not wholly: "
                                 "devices of theirs have no counts");
    const NetPeers peers(all.links);
    Devices devices;
    std::map<NetDeviceId, NetCounts> counts;
    for (const NetLink& link : all.links) {
        counts[link.id] = link.counts;
        devices[link.id] = {.id = link.id,
                            .name = link.name,
                            .kind = link.kind,
                            .queue = link.queue,
                            .peer = peers.of(link),
                            .away = link.other_ifindex != 0 && link.other_netns,
                            .counts = counts_since(link)};
    }
    counts_before_ = std::move(counts);
    cut_before_ = std::move(all.cut);
    return devices;
}

// What came to a device in the window, as far as that is known.
std::optional<NetCounts> NetqCollector::counts_since(const NetLink& link) const
{
    const auto before = counts_before_.find(link.id);
    if (before != counts_before_.end())
        return since(link.counts, before->second);
    // A card of the host's was somewhere else before; of a virtual one it is known that it was not there.
    const bool is_new = !link.kind.empty() || link.id.ifindex == kLoopback;
    return is_new && !cut_before_.contains(link.id.netns) ? std::optional(link.counts)
                                                          : std::nullopt;
}

// All processes are looked through only for what is not known, or is not so any more.
void NetqCollector::name_holders(Devices& devices)
{
    std::set<NetDeviceId> unknown;
    const auto holder_of = [&](const NetDevice& device) {
        return holders_.find({device.id.netns, device.name});
    };
    for (const auto& [id, device] : devices) {
        const auto known = holder_of(device);
        if (device.kind == "tun" &&
            (known == holders_.end() || !holds_tap(known->second, device.name)))
            unknown.insert(id);
    }
    const auto now = steady_clock::now();
    if (!unknown.empty() && (unknown != unheld_ || now - unheld_since_ > kLookAgain)) {
        std::set<uint32_t> namespaces;
        for (const NetDeviceId& id : unknown)
            namespaces.insert(id.netns);
        std::erase_if(holders_, [&](const auto& h) { return namespaces.contains(h.first.first); });
        holders_.merge(tap_holders(namespaces));
        unheld_since_ = now;
    }
    unheld_.clear();
    for (auto& [id, device] : devices) {
        const auto known = holder_of(device);
        if (device.kind != "tun")
            continue;
        if (known == holders_.end() || known->second.pid == 0) {
            unheld_.insert(id);
            continue;
        }
        device.holder_pid = known->second.pid;
        device.holder_cgroup = cgroup_of_process(device.holder_pid, config_.hierarchy);
    }
}

// What came to the slot since the last read, without a name.
NetDevice NetqCollector::read_device(uint32_t slot, uint32_t epoch)
{
    const vt_netq_device& now = devices_.values()[slot];
    Device& before = device_before_[slot];
    const auto came = [](const __u64& is, uint64_t& was) {
        const uint64_t read = load_relaxed(is);
        return read - std::exchange(was, read);
    };
    return {.not_timed = came(now.not_timed, before.not_timed),
            .put_out = came(now.put_out, before.put_out),
            .polls = came(now.polls, before.polls),
            .exhausted = came(now.exhausted, before.exhausted),
            .wait = read_new(now.wait, before.wait, epoch),
            .sent = read_new(now.sent, before.sent, epoch),
            .late = read_new(now.late, before.late, epoch)};
}

void NetqCollector::read_devices(Devices& devices, Loss& loss, uint32_t epoch)
{
    idle_devices_.clear();
    taken_devices_ = 0;
    for (uint32_t slot = 0; slot < device_before_.size(); slot++) {
        const vt_netq_device& now = devices_.values()[slot];
        if (slot >= cpus_ && load_relaxed(now.taken) == 0)
            continue;
        const NetDevice own = read_device(slot, epoch);
        if (slot < cpus_) { // of devices without a slot of their own
            loss.map_full +=
                own.wait.count() + own.sent.count() + own.not_timed + own.put_out + own.polls;
            continue;
        }
        taken_devices_++;
        if (own == NetDevice{}) {
            idle_devices_.insert(slot);
            continue;
        }
        NetDevice& device = devices[id_of(now.device)];
        device.id = id_of(now.device);
        if (device.name.empty())
            device.name = text_of(now.name);
        device.wait.merge(own.wait);
        device.sent.merge(own.sent);
        device.late.merge(own.late);
        device.not_timed += own.not_timed;
        device.put_out += own.put_out;
        device.polls += own.polls;
        device.exhausted += own.exhausted;
    }
}

void NetqCollector::read_hops(NetqSnapshot& netq, Loss& loss, uint32_t epoch)
{
    std::map<std::pair<NetPoint, NetPoint>, NetHop> hops; // of all CPUs
    idle_hops_.clear();
    taken_hops_ = 0;
    for (uint32_t slot = 0; slot < hop_before_.size(); slot++) {
        const vt_netq_hop& now = hops_.values()[slot];
        if (slot >= cpus_ && load_relaxed(now.key.to_point) == 0)
            continue;
        taken_hops_++;
        const Histogram time = read_new(now.time, hop_before_[slot], epoch);
        if (slot < cpus_) {
            loss.map_full += time.count();
        } else if (time.buckets.empty()) {
            idle_hops_.insert(slot);
        } else {
            const NetPoint from = point_of(now.key.from, now.key.from_point);
            const NetPoint to = point_of(now.key.to, now.key.to_point);
            NetHop& hop = hops[{from, to}];
            hop.from = from;
            hop.to = to;
            if (hop.name.empty())
                hop.name = text_of(now.name);
            hop.time.merge(time);
        }
    }
    for (auto& [points, hop] : hops)
        netq.hops.push_back(std::move(hop));
}

// Those of which nothing but the paths of their packets is known.
void NetqCollector::add_gone(const std::vector<NetHop>& hops, Devices& devices)
{
    for (const NetHop& hop : hops) {
        NetDevice& device = devices[hop.to.device];
        device.id = hop.to.device;
        if (device.name.empty())
            device.name = hop.name;
    }
}

// Whether what a device sends comes in by another one next. What a veth or a card has let go of without a word may be
// used again for a packet that came in somewhere.
bool NetqCollector::leads_to(const NetDevice& from, const NetDeviceId& to)
{
    if (from.id == to || !from.counts)
        return true; // loopback; and what has gone may have been anything
    if (from.kind == "veth")
        return from.peer == NetDeviceId{} || from.peer == to;
    return !from.kind.empty() && from.kind != "tun";
}

void NetqCollector::cut_paths(std::vector<NetHop>& hops, const Devices& devices)
{
    std::map<std::pair<NetPoint, NetPoint>, NetHop> whole;
    for (NetHop& hop : hops) {
        const auto from = devices.find(hop.from.device);
        if (hop.from.where == NetPoint::Where::kSent &&
            hop.to.where == NetPoint::Where::kReceived && from != devices.end() &&
            !leads_to(from->second, hop.to.device)) {
            hop.from = {};
            hop.time = {.buckets = {{.index = 0, .count = hop.time.count()}}};
        }
        NetHop& sum = whole[{hop.from, hop.to}];
        sum.from = hop.from;
        sum.to = hop.to;
        sum.name = hop.name;
        sum.time.merge(hop.time);
    }
    hops.clear();
    for (auto& [points, hop] : whole)
        hops.push_back(std::move(hop));
}

// What was still under way when their slots were given up has been read by now.
void NetqCollector::free_left()
{
    auto& maps = (*object_)->maps;
    for (const uint32_t slot : left_devices_) {
        const vt_netq_device none = {};
        bpf_map_update_elem(bpf_map__fd(maps.netq_devices), &slot, &none, BPF_ANY);
        device_before_[slot] = {};
        bpf_map_update_elem(bpf_map__fd(maps.netq_free_devices), nullptr, &slot, BPF_ANY);
    }
    for (const uint32_t slot : left_hops_) {
        const vt_netq_hop none = {};
        bpf_map_update_elem(bpf_map__fd(maps.netq_hops), &slot, &none, BPF_ANY);
        hop_before_[slot] = {};
        bpf_map_update_elem(bpf_map__fd(maps.netq_free_hops), nullptr, &slot, BPF_ANY);
    }
    left_devices_.clear();
    left_hops_.clear();
}

// Gives up the slots of devices that have gone; if there are few left, those that nothing came to as well.
void NetqCollector::leave(const std::set<NetDeviceId>& present)
{
    auto& maps = (*object_)->maps;
    const auto gone = [&](uint64_t device) {
        return device != 0 && !present.contains(id_of(device));
    };
    const auto take_back = [](const bpf_map* map, const auto& key, uint32_t slot) {
        uint32_t known = 0;
        return bpf_map_lookup_elem(bpf_map__fd(map), &key, &known) == 0 && known == slot &&
               bpf_map_delete_elem(bpf_map__fd(map), &key) == 0;
    };
    const bool few_devices = taken_devices_ > device_before_.size() / 4 * 3;
    for (const uint32_t slot : idle_devices_) {
        const vt_netq_device& own = devices_.values()[slot];
        const struct {
            uint64_t device;
            uint64_t cpu;
        } key{own.device, own.cpu};
        if ((few_devices || gone(own.device)) && take_back(maps.netq_device_slots, key, slot))
            left_devices_.insert(slot);
    }
    const bool few_hops = taken_hops_ > hop_before_.size() / 4 * 3;
    for (const uint32_t slot : idle_hops_) {
        const vt_netq_hop_key key = hops_.values()[slot].key;
        if ((few_hops || gone(key.from) || gone(key.to)) &&
            take_back(maps.netq_hop_slots, key, slot))
            left_hops_.insert(slot);
    }
    // What CPUs remember is looked up anew.
    if (!left_devices_.empty() || !left_hops_.empty())
        __atomic_fetch_add(&(*object_)->data->netq_changes, 1, __ATOMIC_RELEASE);
}

void NetqCollector::read(Snapshot& snapshot)
{
    uint32_t& counted = (*object_)->data->netq_epoch;
    const uint32_t epoch = counted;
    __atomic_store_n(&counted, epoch + 1, __ATOMIC_RELEASE);
    NetqSnapshot& netq = snapshot.netq;
    Devices devices = read_links(snapshot.loss);
    std::set<NetDeviceId> present;
    for (const auto& [id, device] : devices)
        present.insert(id);
    name_holders(devices);
    read_devices(devices, snapshot.loss, epoch);
    read_hops(netq, snapshot.loss, epoch);
    add_gone(netq.hops, devices);
    cut_paths(netq.hops, devices);
    free_left();
    leave(present);
    for (auto& [id, device] : devices)
        netq.devices.push_back(std::move(device));
    namespaces_.look();
    netq.namespaces = namespaces_.facts();
    const uint64_t anomalies = load_relaxed((*object_)->bss->netq_clock_anomaly);
    snapshot.loss.clock_anomaly += anomalies - std::exchange(clock_anomaly_, anomalies);
    if (!config_.has_enqueue)
        snapshot.loss.fallbacks.emplace_back(
            "this kernel does not tell when a packet comes into a queue (since 5.15): taken as "
            "when it is given to the device");
}

} // namespace vtrace
