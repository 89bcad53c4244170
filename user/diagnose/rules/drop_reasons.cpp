// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/rules/drop_reasons.h"

#include "model/drops.h"

#include <algorithm>
#include <array>

namespace vtrace {
namespace {

using enum DropWeight;

constexpr std::string_view kReadFaster =
    "The program does not read as fast as packets come: let it read faster or in more threads; a "
    "larger buffer (SO_RCVBUF, up to the knob) helps only against bursts.";
constexpr std::string_view kQueueOut =
    "It sends faster than its device, or the limit set there, lets through: send at that rate, raise "
    "the limit, or give the queue more room (`tc -s qdisc` counts them).";
constexpr std::string_view kBacklog =
    "One CPU cannot keep up with what it receives: spread it by RPS or more queues; a longer "
    "backlog helps against bursts.";
constexpr std::string_view kDamaged =
    "Packets come damaged: look at cables, at the device's errors (`ethtool -S`) and its checksum "
    "offload.";
constexpr std::string_view kNeighbour =
    "The neighbour does not answer: see whether it is there, and in the same network.";

constexpr std::string_view kReceiveBuffer = "/proc/sys/net/core/rmem_max";
constexpr std::string_view kTcpReceiveBuffer = "/proc/sys/net/ipv4/tcp_rmem";
constexpr std::string_view kQdisc = "tc qdisc: limit, rate";

// By include/net/dropreason-core.h, which says of each reason when the kernel gives it.
constexpr auto kReasons = std::to_array<DropReason>({
    {"SOCKET_RCVBUFF", kFault, "the socket's receive buffer is full", kReadFaster, kReceiveBuffer,
     true},
    {"SOCKET_BACKLOG", kFault, "the socket's backlog is full", kReadFaster, kReceiveBuffer, true},
    {"TCP_OFO_QUEUE_PRUNE", kFault, "the receive buffer has no room for data out of order",
     kReadFaster, kTcpReceiveBuffer, true},
    {"TCP_OFO_DROP", kFault, "the receive buffer has no room for data out of order", kReadFaster,
     kTcpReceiveBuffer, true},
    {"TCP_ZEROWINDOW", kFault, "the receive window is closed", kReadFaster, kTcpReceiveBuffer,
     true},
    {"PROTO_MEM", kFault, "all sockets of the protocol have used up its memory",
     "Find the sockets that hold data that nobody reads (`ss -m`), or raise the limit.",
     "/proc/sys/net/ipv4/tcp_mem"},
    {kListenOverflow, kFault, "the listener's queue is full",
     "The program does not accept connections as fast as they come: let it accept faster; a larger "
     "backlog of listen(), up to the knob in its network namespace, helps against bursts.",
     "/proc/sys/net/core/somaxconn", true},
    {"QDISC_DROP", kFault, "the queue of the device is full", kQueueOut, kQdisc, true},
    {"QDISC_OVERLIMIT", kFault, "the queue of the device is full", kQueueOut, kQdisc, true},
    {"QDISC_CONGESTED", kFault, "they stood in the device's queue for too long", kQueueOut, kQdisc,
     true},
    {"FQ_FLOW_LIMIT", kFault, "one flow has too many packets in the queue", kQueueOut,
     "tc qdisc fq: flow_limit", true},
    {"CPU_BACKLOG", kFault, "the backlog of a CPU is full", kBacklog,
     "/proc/sys/net/core/netdev_max_backlog"},
    {"FULL_RING", kFault, "the ring to the VM or the socket behind the device is full",
     "The reader (vhost, the VMM) does not take packets as fast as they come: give it CPU, more "
     "queues, or a longer ring.",
     "ip link: txqueuelen of the tap; the VM's devices: queues=, rx_queue_size="},
    {"NEIGH_FAILED", kFault, "the neighbour's address is not found", kNeighbour},
    {"NEIGH_QUEUEFULL", kFault, "too many packets wait for the neighbour's address", kNeighbour,
     "/proc/sys/net/ipv4/neigh/default/unres_qlen_bytes"},
    {"NEIGH_CREATEFAIL", kFault, "the table of neighbours is full",
     "Raise the limit of the table of neighbours.", "/proc/sys/net/ipv4/neigh/default/gc_thresh3"},
    {"NOMEM", kFault, "the kernel found no memory",
     "The host runs out of free memory at once: keep more of it free.",
     "/proc/sys/vm/min_free_kbytes"},
    {"PKT_TOO_BIG", kFault, "they are larger than the MTU",
     "Set the same MTU on the whole path, or let ICMP through, which tells of it.", "ip link: mtu"},
    {"TCP_CSUM", kFault, "their checksum is wrong", kDamaged, "ethtool -K"},
    {"UDP_CSUM", kFault, "their checksum is wrong", kDamaged, "ethtool -K"},
    {"IP_CSUM", kFault, "their checksum is wrong", kDamaged, "ethtool -K"},
    {"SKB_CSUM", kFault, "their checksum is wrong", kDamaged, "ethtool -K"},
    {"NO_SOCKET", kExpected, "no socket wants them",
     "Somebody sends to a port that nobody listens on.", ""},
    {"NETFILTER_DROP", kExpected, "a rule of netfilter drops them",
     "If they are wanted, look for the rule (`nft list ruleset`, `iptables -vL`).", ""},
    {"IP_RPFILTER", kExpected, "the reverse path filter drops them",
     "They come in by another device than answers would go out: see the routes.",
     "/proc/sys/net/ipv4/conf/all/rp_filter"},
    {"SOCKET_FILTER", kExpected, "a filter on the socket drops them", "", ""},
    {"XFRM_POLICY", kExpected, "an IPsec policy drops them", "", "ip xfrm policy"},
    {"IP_OUTNOROUTES", kExpected, "there is no route for them", "", "ip route"},
    {"IP_INNOROUTES", kExpected, "there is no route for them", "", "ip route"},
    {"XDP", kExpected, "an XDP program drops them", "", ""},
    {"TC_INGRESS", kExpected, "a filter of tc drops them", "", "tc filter"},
    {"TC_EGRESS", kExpected, "a filter of tc drops them", "", "tc filter"},
    {"BPF_CGROUP_EGRESS", kExpected, "a BPF program of the cgroup drops them", "", ""},
    // What is for others, has come twice, or has done its work.
    {"NOT_SPECIFIED", kNothing},
    {"OTHERHOST", kNothing},
    {"UNHANDLED_PROTO", kNothing},
    {"SOCKET_CLOSE", kNothing},
    {"TCP_CLOSE", kNothing},
    {"TCP_RESET", kNothing},
    {"TCP_OLD_DATA", kNothing},
    {"TCP_OLD_SEQUENCE", kNothing},
    {"TCP_OLD_ACK", kNothing},
    {"TCP_OFOMERGE", kNothing},
    {"TCP_FLAGS", kNothing},
});

} // namespace

DropReason drop_reason(std::string_view name, std::string_view protocol)
{
    const auto* const found = std::ranges::find(kReasons, name, &DropReason::name);
    if (found == kReasons.end())
        return {.name = name,
                .meaning = reason_meaning(name).empty() ? name : reason_meaning(name)};
    DropReason reason = *found;
    const bool tcp = protocol.starts_with("TCP");
    if (reason.knob == kReceiveBuffer && tcp)
        reason.knob = kTcpReceiveBuffer;
    if (name == "PROTO_MEM" && !tcp)
        reason.knob = "/proc/sys/net/ipv4/udp_mem";
    return reason;
}

} // namespace vtrace
