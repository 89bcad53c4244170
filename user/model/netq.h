// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/drops.h"
#include "model/histogram.h"

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vtrace {

// A network device: an ifindex is of a network namespace. Both 0: the backlog of a CPU, which is no device of its own
// and has what loopback, veth and steering (RPS) hand over.
struct NetDeviceId {
    uint32_t netns = 0; // inode number
    uint32_t ifindex = 0;
    auto operator<=>(const NetDeviceId&) const = default; // NOLINT(modernize-use-nullptr)
    bool operator==(const NetDeviceId&) const = default;
};

// The device's own counters (rtnl_link_stats64), over the window.
struct NetCounts {
    uint64_t rx_packets = 0;
    uint64_t rx_bytes = 0;
    uint64_t rx_lost = 0; // dropped, missed, or with errors
    uint64_t tx_packets = 0;
    uint64_t tx_bytes = 0;
    uint64_t tx_lost = 0; // dropped, by its queue as well, or with errors
    bool operator==(const NetCounts&) const = default;
};

struct NetDevice {
    NetDeviceId id;
    std::string name;           // raw bytes; empty if it is not known
    std::string kind;           // "veth", "tun" and the like; empty of hardware and loopback
    std::string queue;          // its qdisc, "fq_codel" and the like; empty if it is not known
    NetDeviceId peer;           // of a veth: the other end; 0 if it is not known
    bool away = false;          // its other end is in another namespace
    uint32_t holder_pid = 0;    // of a tap: the process that has it open; 0: none, or not known
    uint64_t holder_cgroup = 0; // and its cgroup
    std::optional<NetCounts> counts; // none of one that has gone
    uint64_t not_timed = 0;          // packets that left the queue, but were not seen to come
    uint64_t put_out =
        0; // that may have been in its driver still when others took their place: not timed
    uint64_t polls = 0;
    uint64_t exhausted = 0; // polls that took all of their budget: there was more
    bool selected = true;   // with a target: it belongs to that
    Histogram wait;         // in its queue
    Histogram sent;         // from its driver's start until it let go of the packet
    Histogram late;         // for each poll, how late its softirq was: from the raise to the run
    bool operator==(const NetDevice&) const = default;
};

// Where packets are seen.
struct NetPoint {
    enum class Where : uint8_t { kNew = 0, kSent = 1, kReceived = 2 };
    NetDeviceId device;
    Where where = Where::kNew;                         // nowhere, of what was not seen before
    auto operator<=>(const NetPoint&) const = default; // NOLINT(modernize-use-nullptr)
    bool operator==(const NetPoint&) const = default;
};

// From one point of packets' paths to the next.
struct NetHop {
    NetPoint from;
    NetPoint to;
    std::string name; // of the device of `to`, raw bytes
    Histogram time;   // of 0 from nowhere
    bool operator==(const NetHop&) const = default;
};

struct NetqSnapshot {
    std::vector<NetDevice> devices;           // all that there are, and those that have gone
    std::vector<NetHop> hops;                 // that packets took
    std::vector<NetNamespaceFact> namespaces; // that they are in
    bool operator==(const NetqSnapshot&) const = default;
};

// Whom a device belongs to, as far as the kernel tells.
struct NetOwner {
    enum class ToldBy {
        kHost,   // nothing but the namespace, which is the host's
        kNetns,  // its network namespace
        kPeer,   // that of the other end of a veth
        kAway,   // whoever the other end of a veth is of, which is not known
        kHolder, // the process that has a tap open
    };
    ToldBy told_by = ToldBy::kHost;
    uint64_t cgroup_id = 0; // 0: none, or not known
    uint32_t pid = 0;       // of kHolder
    uint32_t netns = 0;     // of kNetns and kPeer: the namespace
};

NetOwner owner_of(const NetqSnapshot& snapshot, const NetDevice& device);

// Null if there is none.
const NetDevice* find_device(const NetqSnapshot& snapshot, const NetDeviceId& id);

} // namespace vtrace
