// SPDX-License-Identifier: GPL-2.0-only
#include "demo/net_loads.h"

#include "base/fd.h"
#include "demo/demo_links.h"
#include "demo/scenario.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <thread>

namespace vtrace {
namespace {

using std::chrono::milliseconds;

constexpr uint16_t kPort = 9;            // discard
constexpr uint32_t kSender = 0xc0000201; // 192.0.2.1: for documentation (RFC 5737)
constexpr uint32_t kReceiver = 0xc0000202;
constexpr auto kReceiverLink = "demo1";
constexpr auto kPoll = milliseconds(10);
constexpr size_t kDatagram = 1400;

Error failed(const std::string& what)
{
    Error error = errno_error("cannot " + what);
    error.exit = ExitCode::kNotPossible;
    return error;
}

Status own_namespace()
{
    if (::unshare(CLONE_NEWNET) != 0)
        return failed("make a network namespace");
    return bring_up("lo");
}

sockaddr_in address(uint32_t host)
{
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = ::htons(kPort);
    to.sin_addr.s_addr = ::htonl(host);
    return to;
}

Result<Fd> open_socket(int type)
{
    Fd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    if (!fd)
        return failed("open a socket");
    return fd;
}

Status bind_to(const Fd& fd, uint32_t host)
{
    const sockaddr_in at = address(host);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0)
        return failed("bind a socket");
    return ok();
}

bool connect_to(const Fd& fd, uint32_t host)
{
    const sockaddr_in to = address(host);
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
}

// Of the first process of the stage.
Status join_namespace(const Running& running)
{
    const std::string path = "/proc/" + std::to_string(running.children.front().pid()) + "/ns/net";
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd || ::setns(fd.get(), CLONE_NEWNET) != 0)
        return failed("enter a network namespace");
    return ok();
}

} // namespace

Load receive_too_little()
{
    return [](const Running&, const Ready& ready) -> Status {
        constexpr auto kPause = milliseconds(100);
        if (auto made = own_namespace(); !made)
            return made;
        const auto fd = open_socket(SOCK_DGRAM);
        if (!fd)
            return fd.error();
        const int least = 1; // the kernel makes it some 2 KiB
        ::setsockopt(fd->get(), SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
        if (auto bound = bind_to(*fd, INADDR_LOOPBACK); !bound)
            return bound;
        ready();
        std::array<char, 1024> datagram{};
        for (;;) {
            ::recv(fd->get(), datagram.data(), datagram.size(), 0);
            std::this_thread::sleep_for(kPause);
        }
    };
}

Load send_datagrams(std::chrono::microseconds pause)
{
    return [=](const Running& running, const Ready& ready) -> Status {
        if (auto joined = join_namespace(running); !joined)
            return joined;
        const auto fd = open_socket(SOCK_DGRAM);
        if (!fd)
            return fd.error();
        if (!connect_to(*fd, INADDR_LOOPBACK))
            return failed("connect a socket");
        ready();
        const std::array<char, 512> datagram{};
        for (;;) {
            ::send(fd->get(), datagram.data(), datagram.size(), 0);
            std::this_thread::sleep_for(pause);
        }
    };
}

Load receive_datagrams()
{
    return [](const Running&, const Ready& ready) -> Status {
        if (auto made = own_namespace(); !made)
            return made;
        const auto fd = open_socket(SOCK_DGRAM);
        if (!fd)
            return fd.error();
        ready();
        while (::if_nametoindex(kReceiverLink) == 0)
            std::this_thread::sleep_for(kPoll);
        for (const auto& done : {add_address(kReceiverLink, kReceiver), bring_up(kReceiverLink),
                                 bind_to(*fd, kReceiver)}) {
            if (!done)
                return done;
        }
        std::array<char, kDatagram> datagram{};
        for (;;)
            ::recv(fd->get(), datagram.data(), datagram.size(), 0);
    };
}

Load send_through_slow_link()
{
    return [](const Running& running, const Ready& ready) -> Status {
        constexpr auto kLink = "demo0";
        constexpr uint32_t kRate = 1'000'000;
        constexpr uint32_t kBurst = 20'000;
        constexpr uint32_t kQueue = 500'000;
        if (auto made = own_namespace(); !made)
            return made;
        if (auto made = make_veth(kLink, kReceiverLink, running.children.front().pid()); !made)
            return made;
        for (const auto& done : {add_address(kLink, kSender), bring_up(kLink),
                                 limit_rate(kLink, kRate, kBurst, kQueue)}) {
            if (!done)
                return done;
        }
        const auto fd = open_socket(SOCK_DGRAM);
        if (!fd)
            return fd.error();
        if (!connect_to(*fd, kReceiver))
            return failed("connect a socket");
        const std::array<char, kDatagram> datagram{};
        constexpr int kFirst = 50; // until the other end has come up and been found
        for (int i = 0; i < kFirst; i++) {
            ::send(fd->get(), datagram.data(), datagram.size(), 0);
            std::this_thread::sleep_for(kPoll);
        }
        ready();
        // What the socket may have on its way waits in the queue: a TCP connection would keep it short.
        for (;;) {
            if (::send(fd->get(), datagram.data(), datagram.size(), 0) < 0)
                std::this_thread::sleep_for(kPoll); // nobody receives yet
        }
    };
}

} // namespace vtrace
