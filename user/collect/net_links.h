// SPDX-License-Identifier: GPL-2.0-only
// The network devices of a host, as rtnetlink has them (man 7 rtnetlink).
#pragma once

#include "base/result.h"
#include "model/netq.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

struct nlmsghdr;

namespace vtrace {

struct NetLink {
    NetDeviceId id;
    std::string name; // raw bytes
    std::string kind;
    std::string queue;
    uint32_t other_ifindex = 0; // of a veth: the number of the other end
    bool other_netns = false;   // which is in another namespace
    NetCounts counts;           // since it was made
};

// A message RTM_NEWLINK of the namespace `netns`.
NetLink link_of(const nlmsghdr& message, uint32_t netns);

// The other end of a veth among `all`; none if it is not there, or if more than one could be it.
NetDeviceId peer_of(const NetLink& link, std::span<const NetLink> all);

struct NetLinks {
    std::vector<NetLink> links;
    size_t missed = 0; // namespaces that could not be looked at
};

// Those of all namespaces that are found.
NetLinks all_net_links();

} // namespace vtrace
