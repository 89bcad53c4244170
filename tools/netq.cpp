// SPDX-License-Identifier: GPL-2.0-only
#include "tools/netq.h"

#include "entity/entities.h"
#include "render/netq_text.h"
#include "tools/net_paths.h"
#include "tools/report_parts.h"
#include "tools/vm_rows.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {};
}

// Names devices, and whom they belong to.
class NetNames {
public:
    NetNames(const Snapshot& snapshot, std::string kind)
        : snapshot_(snapshot), entities_(snapshot.cgroups, snapshot.entities),
          kind_(std::move(kind))
    {
        for (const NetHop& hop : snapshot.netq.hops)
            names_.try_emplace(hop.to.device, hop.name);
        for (const NetDevice& device : snapshot.netq.devices) {
            if (!device.name.empty())
                names_[device.id] = device.name;
        }
    }

    [[nodiscard]] Entity owner(const NetDevice& device) const
    {
        const NetOwner owner = owner_of(snapshot_.netq, device);
        if (owner.told_by == NetOwner::ToldBy::kHost)
            return {.kind = "host", .name = snapshot_.host.name};
        if (owner.told_by == NetOwner::ToldBy::kAway)
            return {.kind = "other", .name = "unknown"};
        if (owner.told_by == NetOwner::ToldBy::kHolder) {
            const auto vm = std::ranges::find_if(snapshot_.entities, [&](const EntityFact& f) {
                return f.kind == "vm" && f.pid == owner.pid;
            });
            return entities_.owner(owner.cgroup_id, vm == snapshot_.entities.end() ? 0 : vm->vm,
                                   kind_);
        }
        if (owner.cgroup_id != 0)
            return entities_.owner(owner.cgroup_id, 0, kind_);
        return {.kind = "netns", .name = netns(owner.netns)};
    }

    [[nodiscard]] std::string device(const NetDeviceId& id) const
    {
        if (id == NetDeviceId{})
            return "backlog";
        const auto known = names_.find(id);
        return known != names_.end() && !known->second.empty() ? known->second
                                                               : "if" + std::to_string(id.ifindex);
    }

    // Whose it is: "host", an entity's name, its own in /run/netns, or its number.
    [[nodiscard]] std::string netns(uint32_t inum) const
    {
        const NetNamespaceFact* fact = find_namespace(snapshot_.netq.namespaces, inum);
        if (inum == 0 || (fact != nullptr && fact->host))
            return "host";
        if (fact != nullptr && fact->cgroup_id != 0) {
            const Entity entity = entities_.owner(fact->cgroup_id, 0, kind_);
            if (entity.kind == kind_)
                return entity.name;
        }
        return fact != nullptr && !fact->name.empty() ? fact->name
                                                      : "netns:" + std::to_string(inum);
    }

private:
    const Snapshot& snapshot_;
    Entities entities_;
    std::string kind_;
    std::map<NetDeviceId, std::string> names_;
};

std::string_view told_by(const NetOwner& owner)
{
    switch (owner.told_by) {
    case NetOwner::ToldBy::kNetns: return "netns";
    case NetOwner::ToldBy::kPeer: return "peer";
    case NetOwner::ToldBy::kHolder: return "holder";
    case NetOwner::ToldBy::kAway: return "-";
    default: return "host";
    }
}

void add_label(Entity& entity, const char* kind, std::string value)
{
    if (!value.empty())
        entity.labels.push_back({kind, std::move(value)});
}

Row device_row(const NetDevice& device, const NetNames& names, const NetqSnapshot& netq)
{
    Row row{.entity = {.kind = "device", .name = names.device(device.id)}};
    add_label(row.entity, "netns", names.netns(device.id.netns));
    add_label(row.entity, "type", device.kind);
    add_label(row.entity, "qdisc", device.queue);
    if (device.peer != NetDeviceId{})
        add_label(row.entity, "peer", names.device(device.peer));
    add_label(row.entity, "owner", std::string(told_by(owner_of(netq, device))));
    if (device.counts) {
        add_counter(row, "rx_packets", "1", device.counts->rx_packets);
        add_counter(row, "rx_bytes", "bytes", device.counts->rx_bytes);
        add_counter(row, "rx_lost", "1", device.counts->rx_lost);
        add_counter(row, "tx_packets", "1", device.counts->tx_packets);
        add_counter(row, "tx_bytes", "bytes", device.counts->tx_bytes);
        add_counter(row, "tx_lost", "1", device.counts->tx_lost);
    }
    add_counter(row, "not_timed", "1", device.not_timed);
    add_counter(row, "put_out", "1", device.put_out);
    add_counter(row, "polls", "1", device.polls);
    add_counter(row, "polls_exhausted", "1", device.exhausted);
    row.histograms = {
        {"queue", device.wait}, {"driver", device.sent}, {"softirq_delay", device.late}};
    return row;
}

Row hop_row(const PathStep& step, const NetNames& names)
{
    const NetHop& hop = *step.hop;
    const std::string device = names.device(hop.to.device);
    const bool sent = hop.to.where == NetPoint::Where::kSent;
    Row row{.entity = {.kind = "hop", .name = (sent ? "sent by " : "received by ") + device}};
    add_label(row.entity, "depth", std::to_string(step.depth));
    add_label(row.entity, "device", device);
    add_label(row.entity, "netns", names.netns(hop.to.device.netns));
    add_counter(row, "packets", "1", hop.time.count());
    if (hop.from.where != NetPoint::Where::kNew)
        row.histograms.push_back({"time", hop.time});
    return row;
}

uint64_t packets_of(const NetDevice& device)
{
    return device.counts ? device.counts->rx_packets + device.counts->tx_packets : 0;
}

bool is_idle(const NetDevice& device)
{
    const NetCounts counts = device.counts.value_or(NetCounts{});
    return packets_of(device) + counts.rx_lost + counts.tx_lost + device.polls + device.not_timed +
               device.put_out + device.wait.count() + device.sent.count() ==
           0;
}

struct Owned {
    Entity entity;
    std::vector<const NetDevice*> devices;
    uint64_t most = 0; // packets of one of them
};

Row row_of(Owned& owned, const NetNames& names, const NetqSnapshot& netq,
           const NetPathFinder& finder)
{
    Row row{.entity = std::move(owned.entity)};
    std::ranges::stable_sort(owned.devices, std::greater{},
                             [](const NetDevice* d) { return packets_of(*d); });
    std::set<NetDeviceId> ids;
    for (const NetDevice* device : owned.devices) {
        ids.insert(device->id);
        row.rows.push_back(device_row(*device, names, netq));
    }
    const NetPaths paths = finder.through(ids);
    for (const PathStep& step : paths.steps)
        row.rows.push_back(hop_row(step, names));
    if (paths.left_out != 0)
        add_counter(row, "hops_left_out", "1", paths.left_out);
    return row;
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "netq", "Where packets wait: by device, and on the way");
    report.event = "packet";
    report.nested = "parts";
    report.group = options.group;
    const NetNames names(snapshot, options.group);
    std::set<NetDeviceId> on_paths;
    for (const NetHop& hop : snapshot.netq.hops)
        on_paths.insert(hop.to.device);
    std::map<std::string, Owned> all; // by key_of()
    for (const NetDevice& device : snapshot.netq.devices) {
        if (!device.selected || (is_idle(device) && !on_paths.contains(device.id)))
            continue;
        Entity entity = names.owner(device);
        Owned& owned = all[key_of(entity)];
        owned.entity = std::move(entity);
        owned.devices.push_back(&device);
        owned.most = std::max(owned.most, packets_of(device));
    }
    std::vector<Owned*> sorted;
    sorted.reserve(all.size());
    for (auto& [key, owned] : all)
        sorted.push_back(&owned);
    std::ranges::stable_sort(sorted, std::greater{}, &Owned::most);
    const NetPathFinder finder(snapshot.netq);
    for (Owned* owned : sorted)
        report.rows.push_back(row_of(*owned, names, snapshot.netq, finder));
    finish(report, options);
    return report;
}

} // namespace

ToolSpec netq_tool()
{
    return {
        .name = "netq",
        .summary = "network devices: queues, drivers, paths of packets",
        .details =
            "Each network device that had packets, by whom it belongs to: that of a network\n"
            "namespace to the nearest cgroup that all its processes are in, the host's end of\n"
            "a veth to whom the other end belongs, a tap to who has it open (a VM).\n"
            "  packets, bytes  the device's own counters; what a tap receives, its VM sent\n"
            "  queue           from when a packet came into the device's queue (qdisc) until\n"
            "                  it left it; one that went past an empty queue is in none\n"
            "  driver          from when the driver got a packet until it let go of it: sent\n"
            "                  by hardware, or taken by the VM; veth and bridges hand it over\n"
            "  softirq         of each poll of the device, how late its softirq was (raise\n"
            "                  to run); loopback and veth are polled as `backlog`\n"
            "The path is where packets were seen one after the other, with the time from one\n"
            "point to the next. Paths that meet in one device go on as one: what follows is\n"
            "of all of them. A packet is what the kernel handles as one: of segmentation\n"
            "offload the whole; what is cut up or merged on its way is seen as new.",
        .examples = "  vtrace netq 5 1                    each cgroup's devices, for 5 s\n"
                    "  vtrace netq --container=web 5      one container, every 5 s\n"
                    "  vtrace netq --vm 5 1               taps by VM\n"
                    "  vtrace netq --format json 5 1 | jq '.rows[].parts[]'\n",
        .parts = parts,
        .build = build,
        .text = netq_text,
        .netq = true,
        .group = "cgroup",
        .without_tasks = "packets belong to devices and network namespaces, not to tasks: use "
                         "--cgroup, --container or --vm",
    };
}

} // namespace vtrace
