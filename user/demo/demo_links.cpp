// SPDX-License-Identifier: GPL-2.0-only
#include "demo/demo_links.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

#include <array>
#include <functional>
#include <memory>
#include <string_view>

namespace vtrace {
namespace {

struct CloseSocket {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using Socket = std::unique_ptr<mnl_socket, CloseSocket>;

// Sends one request, which `fill` writes behind the header, and waits for its answer.
Status ask(const std::string& what, uint16_t type, uint16_t flags,
           const std::function<void(nlmsghdr&)>& fill)
{
    constexpr size_t kBytes = 8192;
    alignas(nlmsghdr) std::array<char, kBytes> buffer{};
    nlmsghdr* const request = mnl_nlmsg_put_header(buffer.data());
    request->nlmsg_type = type;
    request->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    request->nlmsg_seq = 1;
    fill(*request);
    const Socket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    bool done = socket && mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) >= 0 &&
                mnl_socket_sendto(socket.get(), request, request->nlmsg_len) >= 0;
    if (done) {
        const ssize_t got = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
        done = got >= 0 && mnl_cb_run(buffer.data(), static_cast<size_t>(got), 1,
                                      mnl_socket_get_portid(socket.get()), nullptr, nullptr) >= 0;
    }
    if (done)
        return ok();
    Error error = errno_error("cannot " + what, "the demos of networks need root, veth and tbf");
    error.exit = ExitCode::kNotPossible;
    return error;
}

template <typename T> T& header(nlmsghdr& message)
{
    return *static_cast<T*>(mnl_nlmsg_put_extra_header(&message, sizeof(T)));
}

int index_of(const std::string& name)
{
    return static_cast<int>(::if_nametoindex(name.c_str()));
}

} // namespace

Status make_veth(const std::string& name, const std::string& peer, pid_t peer_pid)
{
    return ask("make a pair of veth devices", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL,
               [&](nlmsghdr& message) {
                   header<ifinfomsg>(message);
                   mnl_attr_put_strz(&message, IFLA_IFNAME, name.c_str());
                   // Each segment is a packet: a shaper would cut up longer ones, untimed.
                   mnl_attr_put_u32(&message, IFLA_GSO_MAX_SEGS, 1);
                   nlattr* const info = mnl_attr_nest_start(&message, IFLA_LINKINFO);
                   mnl_attr_put_strz(&message, IFLA_INFO_KIND, "veth");
                   nlattr* const data = mnl_attr_nest_start(&message, IFLA_INFO_DATA);
                   nlattr* const other = mnl_attr_nest_start(&message, VETH_INFO_PEER);
                   header<ifinfomsg>(message);
                   mnl_attr_put_strz(&message, IFLA_IFNAME, peer.c_str());
                   mnl_attr_put_u32(&message, IFLA_GSO_MAX_SEGS, 1);
                   mnl_attr_put_u32(&message, IFLA_NET_NS_PID, static_cast<uint32_t>(peer_pid));
                   mnl_attr_nest_end(&message, other);
                   mnl_attr_nest_end(&message, data);
                   mnl_attr_nest_end(&message, info);
               });
}

Status bring_up(const std::string& name)
{
    return ask("bring up " + name, RTM_NEWLINK, 0, [&](nlmsghdr& message) {
        auto& link = header<ifinfomsg>(message);
        link.ifi_index = index_of(name);
        link.ifi_flags = IFF_UP;
        link.ifi_change = IFF_UP;
    });
}

Status add_address(const std::string& name, uint32_t address)
{
    constexpr uint8_t kPrefix = 30;
    return ask("give an address to " + name, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL,
               [&](nlmsghdr& message) {
                   auto& head = header<ifaddrmsg>(message);
                   head.ifa_family = AF_INET;
                   head.ifa_prefixlen = kPrefix;
                   head.ifa_index = static_cast<uint32_t>(index_of(name));
                   mnl_attr_put_u32(&message, IFA_LOCAL, ::htonl(address));
                   mnl_attr_put_u32(&message, IFA_ADDRESS, ::htonl(address));
               });
}

Status limit_rate(const std::string& name, uint32_t bytes_per_second, uint32_t burst,
                  uint32_t queue)
{
    return ask("shape what leaves " + name, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE,
               [&](nlmsghdr& message) {
                   auto& head = header<tcmsg>(message);
                   head.tcm_family = AF_UNSPEC;
                   head.tcm_ifindex = index_of(name);
                   head.tcm_parent = TC_H_ROOT;
                   mnl_attr_put_strz(&message, TCA_KIND, "tbf");
                   tc_tbf_qopt options{};
                   options.rate.rate = bytes_per_second;
                   // Named, so that no table of times is asked for (tbf_change(), net/sched/sch_tbf.c).
                   options.rate.linklayer = TC_LINKLAYER_ETHERNET;
                   options.limit = queue;
                   nlattr* const all = mnl_attr_nest_start(&message, TCA_OPTIONS);
                   mnl_attr_put(&message, TCA_TBF_PARMS, sizeof(options), &options);
                   mnl_attr_put_u32(&message, TCA_TBF_BURST, burst);
                   mnl_attr_nest_end(&message, all);
               });
}

} // namespace vtrace
