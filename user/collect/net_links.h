// SPDX-License-Identifier: GPL-2.0-only
// The network devices of a host, as rtnetlink has them (man 7 rtnetlink).
#pragma once

#include "base/result.h"
#include "model/netq.h"

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
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

// The other ends of veths.
class NetPeers {
public:
    // `all` must outlive it.
    explicit NetPeers(std::span<const NetLink> all);

    // None if it is not there, or if more than one could be it.
    [[nodiscard]] NetDeviceId of(const NetLink& link) const;

private:
    // Those with the other end in another namespace, by their number and that of the other end.
    std::multimap<std::pair<uint32_t, uint32_t>, const NetLink*> by_numbers_;
};

struct NetLinks {
    std::vector<NetLink> links;
    std::set<uint32_t> cut; // namespaces of which some may be missing
    size_t missed = 0;      // how many those are, with those that could not be looked at
};

// Those of all namespaces that are found.
NetLinks all_net_links();

} // namespace vtrace
