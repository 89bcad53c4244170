// SPDX-License-Identifier: GPL-2.0-only
#include "tools/netdrop.h"

#include "entity/entities.h"
#include "render/drop_text.h"
#include "render/units.h"
#include "tools/report_parts.h"
#include "tools/vm_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace vtrace {
namespace {

constexpr uint8_t kTcp = 6; // IPPROTO_TCP

SchedParts parts(const ToolOptions&)
{
    return {};
}

// Whom they belong to, as far as the kernel tells: by the socket, or else by the network namespace.
Entity entity_of(const Snapshot& snapshot, const Entities& entities, const PacketDrops& drops,
                 const std::string& kind)
{
    if (drops.cgroup_id != 0)
        return entities.owner(drops.cgroup_id, 0, kind);
    if (drops.netns == 0)
        return {.kind = "other", .name = "unknown"};
    const NetNamespaceFact* fact = find_namespace(snapshot.drops.namespaces, drops.netns);
    if (fact != nullptr && fact->host)
        return {.kind = "host", .name = snapshot.host.name};
    if (fact != nullptr && fact->cgroup_id != 0)
        return entities.owner(fact->cgroup_id, 0, kind);
    return {.kind = "netns",
            .name = fact != nullptr && !fact->name.empty()
                        ? fact->name
                        : "netns:" + std::to_string(drops.netns)};
}

std::string_view told_by(const PacketDrops& drops)
{
    if (drops.cgroup_id != 0)
        return "socket";
    return drops.netns != 0 ? "netns" : "-";
}

std::string device_of(const PacketDrops& drops)
{
    if (!drops.device.empty())
        return drops.device;
    return drops.ifindex != 0 ? "if" + std::to_string(drops.ifindex) : "-";
}

// All that tells the drops of one entity apart, as an entity of its own.
Entity kind_of(const PacketDrops& drops)
{
    Entity entity{.kind = "drop", .name = drops.reason.empty() ? drops.location : drops.reason};
    const auto add = [&](const char* kind, std::string value) {
        if (!value.empty())
            entity.labels.push_back({kind, std::move(value)});
    };
    add("reason", drops.reason);
    add("location", drops.location);
    add("protocol", protocol_name(drops));
    add("family", std::string(family_name(drops)));
    if (drops.protocol == kTcp)
        add("state", tcp_state_name(drops.tcp_state));
    add("device", device_of(drops));
    add("owner", std::string(told_by(drops)));
    return entity;
}

struct Sum {
    uint64_t packets = 0;
    uint64_t bytes = 0;
};

void add_sum(Row& row, const Sum& sum)
{
    add_counter(row, "packets", "1", sum.packets);
    add_counter(row, "bytes", "bytes", sum.bytes);
}

// By its text, which is all of it.
std::string text_of(const Entity& kind)
{
    std::string text = kind.name;
    for (const EntityName& label : kind.labels)
        text.append(1, '\0').append(label.kind).append(1, '\0').append(label.name);
    return text;
}

// What an entity lost.
struct Dropped {
    Entity entity;
    Sum sum;
    ListenDrops listeners;                               // of its network namespace
    std::map<std::string, std::pair<Entity, Sum>> kinds; // by text_of()
};

void add_to(Sum& sum, const PacketDrops& drops)
{
    sum.packets += drops.packets;
    sum.bytes += drops.bytes;
}

uint64_t packets_of(const Row& row)
{
    return whole_number(row.metrics.front().value);
}

Row row_of(const Dropped& dropped)
{
    Row row{.entity = dropped.entity};
    add_sum(row, dropped.sum);
    if (dropped.listeners.drops != 0) {
        add_counter(row, "listen_drops", "1", dropped.listeners.drops);
        add_counter(row, "listen_overflows", "1", dropped.listeners.overflows);
    }
    for (const auto& [text, kind] : dropped.kinds) {
        Row& inner = row.rows.emplace_back(Row{.entity = kind.first});
        add_sum(inner, kind.second);
    }
    std::ranges::stable_sort(row.rows, std::greater{}, packets_of);
    return row;
}

// Of the whole host and of all protocols, so a row only where that is what is shown.
void add_without_room(Report& report, const DropSnapshot& drops, bool all)
{
    if (drops.other_packets == 0)
        return;
    if (!all) {
        report.notes.push_back(
            fmt::format("{} packets of the host found no room of their own, and are not shown: "
                        "whose they were and of what protocol is not known",
                        drops.other_packets));
        return;
    }
    Row other{.entity = {.kind = "other", .name = "other"}};
    add_sum(other, {drops.other_packets, drops.other_bytes});
    report.rows.push_back(std::move(other));
}

void add_rows(Report& report, const Snapshot& snapshot, const ToolOptions& options, bool tcp_only)
{
    const Entities entities(snapshot.cgroups, snapshot.entities);
    std::map<std::string, Dropped> all; // by key_of()
    for (const PacketDrops& drops : snapshot.drops.drops) {
        if (tcp_only && drops.protocol != kTcp)
            continue;
        Entity entity = entity_of(snapshot, entities, drops, report.group);
        Dropped& dropped = all[key_of(entity)];
        dropped.entity = std::move(entity);
        add_to(dropped.sum, drops);
        Entity kind = kind_of(drops);
        auto& [known, sum] = dropped.kinds[text_of(kind)];
        known = std::move(kind);
        add_to(sum, drops);
    }
    for (const ListenDrops& listeners : snapshot.drops.listeners) {
        Entity entity = entity_of(snapshot, entities, {.netns = listeners.netns}, report.group);
        Dropped& dropped = all[key_of(entity)];
        dropped.entity = std::move(entity);
        dropped.listeners.drops += listeners.drops;
        dropped.listeners.overflows += listeners.overflows;
    }
    for (const auto& [key, dropped] : all)
        report.rows.push_back(row_of(dropped));
    add_without_room(report, snapshot.drops, !tcp_only && options.target_kind.empty());
    std::ranges::stable_sort(report.rows, std::greater{}, packets_of);
}

Report build(const Snapshot& snapshot, const ToolOptions& options, std::string_view tool,
             bool tcp_only)
{
    Report report =
        empty_report(snapshot, tool,
                     tcp_only ? "TCP packets that the kernel dropped: why, where, and whose"
                              : "Packets that the kernel dropped: why, where, and whose");
    report.event = "drop";
    report.nested = "drops";
    report.group = options.group;
    add_rows(report, snapshot, options, tcp_only);
    finish(report, options);
    return report;
}

Report build_all(const Snapshot& snapshot, const ToolOptions& options)
{
    return build(snapshot, options, "netdrop", false);
}

Report build_tcp(const Snapshot& snapshot, const ToolOptions& options)
{
    return build(snapshot, options, "tcpdrop", true);
}

constexpr std::string_view kWithoutTasks =
    "packets belong to sockets and network namespaces, not to tasks: use --cgroup or --container";
constexpr std::string_view kWithoutVms =
    "packets belong to sockets and network namespaces, not to VMs: use --cgroup or --unit";

} // namespace

ToolSpec netdrop_tool()
{
    return {
        .name = "netdrop",
        .summary = "dropped packets: why, where, and whose",
        .details =
            "Packets that the kernel dropped, with its own reason for it (since 5.17) and the\n"
            "function that did it, by whom they belong to:\n"
            "  socket  the cgroup of the socket that sent them, or that they were for: of the\n"
            "          task that made it\n"
            "  netns   where no socket is known (before 6.11 of most that were received): the\n"
            "          nearest cgroup that all processes of their network namespace are in;\n"
            "          the host in its own; one without processes by its name in /run/netns;\n"
            "          by its number where another owner has taken it over meanwhile\n"
            "A packet is what the kernel handles as one: of segmentation offload the whole.\n"
            "Messages of AF_UNIX and netlink are no packets.\n"
            "SYNs to a listener whose queue is full the kernel frees like packets that have\n"
            "done their work: they are shown as the kernel counts them in the network\n"
            "namespace (ListenDrops). Not seen before 5.17: what TCP drops in a connection.\n"
            "Some packets are freed as if dropped after their work: of TCP in TIME_WAIT, what\n"
            "a socket still had when it closed, and before 5.17 ICMPv6.",
        .examples = "  vtrace netdrop 10 1                  each cgroup, for 10 s\n"
                    "  vtrace netdrop --container 5         each container, every 5 s\n"
                    "  vtrace netdrop --pod=shop/web 5      one pod\n"
                    "  vtrace netdrop --format json 5 1 | jq '.rows[].drops[].entity.labels'\n",
        .parts = parts,
        .build = build_all,
        .text = netdrop_text,
        .drops = true,
        .group = "cgroup",
        .without_tasks = kWithoutTasks,
        .without_vms = kWithoutVms,
    };
}

ToolSpec tcpdrop_tool()
{
    return {
        .name = "tcpdrop",
        .summary = "dropped TCP packets, by state of their socket",
        .details =
            "What `vtrace netdrop` shows (its help says whose a packet is and what is not\n"
            "seen), of TCP packets only, with the state of the socket that sent them or that\n"
            "they were for: \"no socket\" where the kernel had found none, or (before 6.11)\n"
            "does not tell.",
        .examples =
            "  vtrace tcpdrop 10 1                  each cgroup, for 10 s\n"
            "  vtrace tcpdrop --container=web 5     one container, every 5 s\n"
            "  vtrace tcpdrop --format json 5 1 | jq '.rows[].drops[].entity.labels.state'\n",
        .parts = parts,
        .build = build_tcp,
        .text = netdrop_text,
        .drops = true,
        .group = "cgroup",
        .without_tasks = kWithoutTasks,
        .without_vms = kWithoutVms,
    };
}

} // namespace vtrace
