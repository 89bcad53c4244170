// SPDX-License-Identifier: GPL-2.0-only
#include "model/drops.h"

#include "base/files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

namespace vtrace {
namespace {

constexpr uint16_t kIpv4 = 0x0800;
constexpr uint16_t kIpv6 = 0x86dd;

// linux/if_ether.h
std::string ether_name(uint16_t ether)
{
    switch (ether) {
    case 0: return "-";
    case 0x0806: return "ARP";
    case 0x8100: return "VLAN";
    case 0x88cc: return "LLDP";
    default: return fmt::format("0x{:04x}", ether);
    }
}

// linux/in.h
std::string ip_name(uint8_t protocol)
{
    switch (protocol) {
    case 0: return "IP";
    case 1: return "ICMP";
    case 2: return "IGMP";
    case 6: return "TCP";
    case 17: return "UDP";
    case 47: return "GRE";
    case 50: return "ESP";
    case 58: return "ICMP";
    case 132: return "SCTP";
    default: return "IP:" + std::to_string(protocol);
    }
}

using Meaning = std::pair<std::string_view, std::string_view>;
constexpr Meaning kMeanings[] = {
    {"NOT_SPECIFIED", "the kernel gives no reason here"},
    {"NO_SOCKET", "no socket wanted it"},
    {"SOCKET_FILTER", "a filter on the socket refused it"},
    {"SOCKET_RCVBUFF", "the socket's receive buffer was full"},
    {"SOCKET_BACKLOG", "the socket's backlog was full"},
    {"TCP_CSUM", "a wrong TCP checksum"},
    {"UDP_CSUM", "a wrong UDP checksum"},
    {"NETFILTER_DROP", "by a rule of netfilter"},
    {"OTHERHOST", "addressed to another host"},
    {"IP_RPFILTER", "the reverse path filter (rp_filter)"},
    {"PROTO_MEM", "the limit on memory of all sockets of the protocol"},
    {"TCP_OLD_DATA", "data that had come before"},
    {"QDISC_DROP", "by a queueing discipline, on its way out"},
    {"CPU_BACKLOG", "the CPU's backlog of received packets was full"},
    {"NEIGH_FAILED", "the neighbour's address was not found (ARP, NDP)"},
};

} // namespace

const NetNamespaceFact* find_namespace(const std::vector<NetNamespaceFact>& namespaces,
                                       uint32_t inum)
{
    const auto found = std::ranges::find(namespaces, inum, &NetNamespaceFact::inum);
    return inum == 0 || found == namespaces.end() ? nullptr : &*found;
}

// Pairs of lines of a group: names, and below them numbers.
ListenDrops listen_counts(std::string_view netstat)
{
    ListenDrops counts;
    const auto lines = split(netstat, '\n');
    for (size_t i = 0; i + 1 < lines.size(); i++) {
        const auto names = split(lines[i], ' ');
        const auto values = split(lines[i + 1], ' ');
        if (names.front() != "TcpExt:" || values.front() != "TcpExt:")
            continue;
        for (size_t k = 1; k < std::min(names.size(), values.size()); k++) {
            uint64_t* count = names[k] == "ListenDrops"       ? &counts.drops
                              : names[k] == "ListenOverflows" ? &counts.overflows
                                                              : nullptr;
            if (count != nullptr)
                std::from_chars(values[k].data(), values[k].data() + values[k].size(), *count);
        }
        break;
    }
    return counts;
}

uint64_t cgroup_of(const DropSnapshot& snapshot, const PacketDrops& drops)
{
    if (drops.cgroup_id != 0)
        return drops.cgroup_id;
    const NetNamespaceFact* fact = find_namespace(snapshot.namespaces, drops.netns);
    return fact == nullptr ? 0 : fact->cgroup_id;
}

std::string protocol_name(const PacketDrops& drops)
{
    if (drops.ether == kIpv6)
        return ip_name(drops.protocol) + "6";
    // Of a packet that was not made up yet the socket tells.
    const bool ip = drops.ether == kIpv4 || (drops.ether == 0 && drops.protocol != 0);
    return ip ? ip_name(drops.protocol) : ether_name(drops.ether);
}

std::string_view family_name(const PacketDrops& drops)
{
    if (drops.ether == kIpv6)
        return "IPv6";
    return drops.ether == kIpv4 ? "IPv4" : "";
}

std::string tcp_state_name(uint32_t state)
{
    // include/net/tcp_states.h
    static constexpr std::string_view kStates[] = {
        "no socket", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
        "CLOSE",     "CLOSE_WAIT",  "LAST_ACK", "LISTEN",   "CLOSING",   "SYN_RECV"};
    return state < std::size(kStates) ? std::string(kStates[state]) : std::to_string(state);
}

std::string_view reason_meaning(std::string_view reason)
{
    const auto* const found = std::ranges::find(kMeanings, reason, &Meaning::first);
    return found == std::end(kMeanings) ? "" : found->second;
}

} // namespace vtrace
