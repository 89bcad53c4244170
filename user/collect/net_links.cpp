// SPDX-License-Identifier: GPL-2.0-only
#include "collect/net_links.h"

#include "collect/each_net_namespace.h"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>

namespace vtrace {
namespace {

constexpr size_t kDumpBytes =
    32768; // as the kernel likes it: netlink_dump(), net/netlink/af_netlink.c

struct CloseSocket {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using Socket = std::unique_ptr<mnl_socket, CloseSocket>;

// Text of an attribute, which need not end with 0.
std::string text_of(const nlattr* attribute)
{
    const auto* text = static_cast<const char*>(mnl_attr_get_payload(attribute));
    return {text, ::strnlen(text, mnl_attr_get_payload_len(attribute))};
}

uint32_t number_of(const nlattr* attribute)
{
    return mnl_attr_validate(attribute, MNL_TYPE_U32) < 0 ? 0 : mnl_attr_get_u32(attribute);
}

NetCounts counts_of(const nlattr* attribute)
{
    rtnl_link_stats64 stats{};
    // Newer kernels have more at its end, older ones less.
    std::memcpy(&stats, mnl_attr_get_payload(attribute),
                std::min<size_t>(sizeof(stats), mnl_attr_get_payload_len(attribute)));
    return {.rx_packets = stats.rx_packets,
            .rx_bytes = stats.rx_bytes,
            .rx_lost = stats.rx_dropped + stats.rx_missed_errors + stats.rx_errors,
            .tx_packets = stats.tx_packets,
            .tx_bytes = stats.tx_bytes,
            .tx_lost = stats.tx_dropped + stats.tx_errors};
}

// The inode number of the namespace that this thread is in.
uint32_t own_netns()
{
    struct stat st = {};
    return ::stat("/proc/thread-self/ns/net", &st) == 0 ? static_cast<uint32_t>(st.st_ino) : 0;
}

int take_info(const nlattr* attribute, void* data)
{
    if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
        static_cast<NetLink*>(data)->kind = text_of(attribute);
    return MNL_CB_OK;
}

int take_attribute(const nlattr* attribute, void* data)
{
    auto& link = *static_cast<NetLink*>(data);
    switch (mnl_attr_get_type(attribute)) {
    case IFLA_IFNAME: link.name = text_of(attribute); break;
    case IFLA_QDISC: link.queue = text_of(attribute); break;
    case IFLA_LINK: link.other_ifindex = number_of(attribute); break;
    case IFLA_LINK_NETNSID: link.other_netns = true; break;
    case IFLA_STATS64: link.counts = counts_of(attribute); break;
    case IFLA_LINKINFO: mnl_attr_parse_nested(attribute, take_info, &link); break;
    default: break;
    }
    return MNL_CB_OK;
}

struct Wanted {
    uint32_t netns;
    std::vector<NetLink> links;
    bool interrupted = false; // devices came or went meanwhile
};

int take_link(const nlmsghdr* message, void* data)
{
    auto& wanted = *static_cast<Wanted*>(data);
    wanted.interrupted |= (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
    if (message->nlmsg_type == RTM_NEWLINK &&
        mnl_nlmsg_get_payload_len(message) >= sizeof(ifinfomsg))
        wanted.links.push_back(link_of(*message, wanted.netns));
    return MNL_CB_OK;
}

bool ask(Wanted& wanted)
{
    const Socket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
        return false;
    alignas(nlmsghdr) std::array<char, kDumpBytes> buffer{};
    nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
    request->nlmsg_type = RTM_GETLINK;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request->nlmsg_seq = 1;
    mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg));
    if (mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0)
        return false;
    for (;;) {
        const ssize_t got = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        const int more = mnl_cb_run(buffer.data(), static_cast<size_t>(got), 1,
                                    mnl_socket_get_portid(socket.get()), take_link, &wanted);
        if (more <= MNL_CB_STOP)
            return more == MNL_CB_STOP;
    }
}

} // namespace

NetLink link_of(const nlmsghdr& message, uint32_t netns)
{
    const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&message));
    NetLink link{.id = {.netns = netns, .ifindex = static_cast<uint32_t>(info->ifi_index)}};
    mnl_attr_parse(&message, sizeof(ifinfomsg), take_attribute, &link);
    if (link.kind != "veth")
        link.other_ifindex = 0;
    return link;
}

NetPeers::NetPeers(std::span<const NetLink> all)
{
    for (const NetLink& link : all) {
        if (link.other_ifindex != 0 && link.other_netns)
            by_numbers_.insert({{link.id.ifindex, link.other_ifindex}, &link});
    }
}

NetDeviceId NetPeers::of(const NetLink& link) const
{
    if (link.other_ifindex == 0)
        return {};
    if (!link.other_netns)
        return {.netns = link.id.netns, .ifindex = link.other_ifindex};
    NetDeviceId found;
    const auto [from, to] = by_numbers_.equal_range({link.other_ifindex, link.id.ifindex});
    for (auto at = from; at != to; ++at) {
        if (at->second->id.netns == link.id.netns)
            continue;
        if (found != NetDeviceId{})
            return {};
        found = at->second->id;
    }
    return found;
}

NetLinks all_net_links()
{
    constexpr int kTries = 3;
    NetLinks all;
    all.missed = in_each_net_namespace([&] {
        Wanted wanted{.netns = own_netns()};
        bool complete = false;
        for (int i = 0; i < kTries && !complete; i++) {
            wanted.links.clear();
            wanted.interrupted = false;
            complete = ask(wanted) && !wanted.interrupted;
        }
        if (!complete)
            all.cut.insert(wanted.netns);
        std::ranges::move(wanted.links, std::back_inserter(all.links));
    });
    all.missed += all.cut.size();
    return all;
}

} // namespace vtrace
