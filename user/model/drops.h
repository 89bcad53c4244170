// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "vtrace/drop.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// Packets that the kernel dropped in the window, of one kind.
struct PacketDrops {
    uint64_t cgroup_id = 0; // of the socket, in v2; 0: none is known
    uint32_t netns = 0;     // inode number of the network namespace; 0: not known
    std::string reason;     // the kernel's name for it; empty before 5.17
    std::string location;   // the function of the kernel that freed them, or its address
    uint32_t ifindex = 0;   // of the device; 0: not known
    std::string device;     // its name, raw bytes; empty if it is not known
    uint16_t ether = 0;     // ETH_P_*; 0: not known
    uint8_t protocol = 0;   // IPPROTO_*; of IPv6 the first next header
    uint8_t tcp_state = 0;  // of the socket, of TCP packets only; 0: there is none
    uint64_t packets = 0;
    uint64_t bytes = 0;
    bool operator==(const PacketDrops&) const = default;
};

// Whom a network namespace belongs to.
struct NetNamespaceFact {
    uint32_t inum = 0;      // inode number of /proc/PID/ns/net
    bool host = false;      // the one of the first process
    uint64_t cgroup_id = 0; // of v2, the nearest that all its processes are in; 0: it has none
    std::string name;       // in /run/netns, else Docker's of one without a cgroup; raw bytes
    bool operator==(const NetNamespaceFact&) const = default;
};

// What the kernel itself counted in a network namespace of what its listeners refused: TcpExt of /proc/net/netstat.
// SYNs to a full listener are among it, which the kernel frees like packets that have done their work.
struct ListenDrops {
    uint32_t netns = 0;
    uint64_t drops = 0;
    uint64_t overflows = 0; // of them: as too many connections waited for accept()
    bool operator==(const ListenDrops&) const = default;
};

struct DropSnapshot {
    std::vector<PacketDrops> drops;
    std::vector<ListenDrops> listeners; // where there were any
    std::vector<NetNamespaceFact> namespaces;
    uint64_t other_packets = 0; // that found no room of their own
    uint64_t other_bytes = 0;
    bool operator==(const DropSnapshot&) const = default;
};

// Null if there is none.
const NetNamespaceFact* find_namespace(const std::vector<NetNamespaceFact>& namespaces,
                                       uint32_t inum);

// ListenDrops and ListenOverflows of a text like /proc/net/netstat; 0 of what is not there.
ListenDrops listen_counts(std::string_view netstat);

// The cgroup that they belong to: the socket's, or else that of the network namespace; 0: of none that is known.
uint64_t cgroup_of(const DropSnapshot& snapshot, const PacketDrops& drops);

// "TCP", "UDP6", "ARP" and the like; by number what has no name here; "-" if it is not known.
std::string protocol_name(const PacketDrops& drops);

// "IPv4", "IPv6" or nothing.
std::string_view family_name(const PacketDrops& drops);

// "ESTABLISHED" and the like, as /proc/net/tcp counts them; "no socket" of 0.
std::string tcp_state_name(uint32_t state);

// What the kernel says of a common reason (include/net/dropreason-core.h), in short; empty of others.
std::string_view reason_meaning(std::string_view reason);

} // namespace vtrace
