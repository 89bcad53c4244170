// SPDX-License-Identifier: GPL-2.0-only
//
// TCP connections that are counted and timed by who makes them, and request and response over loopback.
//
//   wl_net serve PORT REQUEST REPLY
//       Accepts IPv4 and IPv6; of each connection it reads REQUEST bytes, writes REPLY, and closes it.
//       Prints "ready", and at SIGTERM what it did.
//   wl_net connect COUNT REQUEST REPLY ADDRESS:PORT...
//       As many connections, one after the other, to each address in turn ([v6]:port, ::ffff:a.b.c.d as well):
//       REQUEST bytes there, REPLY back, then to the end. Prints what it did, and what connect() took.
//   wl_net ping tcp|udp CPU SECONDS
//       Two threads on one CPU send 64 bytes back and forth over loopback. Prints how long a round trip takes,
//       and how much CPU time of both.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kPingBytes = 64;
constexpr long kWarmUpTrips = 1000;
constexpr long kTripsPerClockRead = 64; // keeps the clock's own cost out of the figure
constexpr int kBacklog = 4096;
constexpr int kPercent = 100;

int g_listener = -1;

[[noreturn]] void fail(const char* what)
{
    ::dprintf(STDERR_FILENO, "net: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

[[noreturn]] void usage()
{
    ::dprintf(STDERR_FILENO, "usage: wl_net serve PORT REQUEST REPLY | connect COUNT REQUEST REPLY"
                             " ADDRESS:PORT... | ping tcp|udp CPU SECONDS\n");
    std::exit(2);
}

std::uint64_t now_ns(clockid_t clock = CLOCK_MONOTONIC)
{
    timespec t{};
    ::clock_gettime(clock, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000U +
           static_cast<std::uint64_t>(t.tv_nsec);
}

std::size_t number(const char* text)
{
    char* end = nullptr;
    const unsigned long value = std::strtoul(text, &end, 10);
    if (end == text || *end != '\0')
        usage();
    return value;
}

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    [[nodiscard]] const sockaddr* get() const
    {
        return reinterpret_cast<const sockaddr*>(&storage);
    }
};

Address make_v4(in_addr address, std::size_t port)
{
    Address made;
    auto& v4 = reinterpret_cast<sockaddr_in&>(made.storage);
    v4.sin_family = AF_INET;
    v4.sin_addr = address;
    v4.sin_port = htons(static_cast<std::uint16_t>(port));
    made.size = sizeof v4;
    return made;
}

Address make_v6(const in6_addr& address, std::size_t port)
{
    Address made;
    auto& v6 = reinterpret_cast<sockaddr_in6&>(made.storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = address;
    v6.sin6_port = htons(static_cast<std::uint16_t>(port));
    made.size = sizeof v6;
    return made;
}

Address parse(const std::string& text)
{
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0)
        usage();
    const std::size_t port = number(text.c_str() + colon + 1);
    in_addr v4{};
    if (::inet_pton(AF_INET, text.substr(0, colon).c_str(), &v4) == 1)
        return make_v4(v4, port);
    in6_addr v6{};
    if (text.front() == '[' && ::inet_pton(AF_INET6, text.substr(1, colon - 2).c_str(), &v6) == 1)
        return make_v6(v6, port);
    usage();
}

// Bytes that were read before the end of the connection, at most `size`.
std::size_t read_up_to(int fd, std::size_t size)
{
    std::array<char, 65536> buffer; // NOLINT(cppcoreguidelines-pro-type-member-init): read into
    std::size_t done = 0;
    while (done < size) {
        const ssize_t got = ::read(fd, buffer.data(), std::min(buffer.size(), size - done));
        if (got < 0)
            fail("read");
        if (got == 0)
            break;
        done += static_cast<std::size_t>(got);
    }
    return done;
}

void write_all(int fd, std::size_t size)
{
    static const std::array<char, 65536> buffer{};
    while (size > 0) {
        const ssize_t put = ::send(fd, buffer.data(), std::min(buffer.size(), size), MSG_NOSIGNAL);
        if (put < 0)
            fail("send");
        size -= static_cast<std::size_t>(put);
    }
}

// Whoever accepts from it, now or later, is told.
void on_signal(int /*number*/)
{
    ::shutdown(g_listener, SHUT_RDWR);
}

int serve(std::size_t port, std::size_t request, std::size_t reply)
{
    struct sigaction action {};
    action.sa_handler = on_signal;
    const int listener = g_listener = ::socket(AF_INET6, SOCK_STREAM, 0);
    const int yes = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    const Address any = make_v6(in6addr_any, port);
    if (listener < 0 || ::bind(listener, any.get(), any.size) != 0 ||
        ::listen(listener, kBacklog) != 0)
        fail("listen");
    ::sigaction(SIGTERM, &action, nullptr);
    ::dprintf(STDOUT_FILENO, "ready\n");
    std::size_t sessions = 0;
    std::size_t received = 0;
    for (;;) {
        const int fd = ::accept(listener, nullptr, nullptr);
        if (fd < 0 && errno == EINTR)
            continue;
        if (fd < 0)
            break;
        received += read_up_to(fd, request);
        write_all(fd, reply);
        ::close(fd);
        ++sessions;
    }
    std::printf("{\"sessions\":%zu,\"sent\":%zu,\"received\":%zu}\n", sessions, sessions * reply,
                received);
    return std::fflush(stdout) == 0 ? 0 : 1;
}

int connect_to(std::size_t count, std::size_t request, std::size_t reply,
               const std::vector<Address>& addresses)
{
    std::vector<std::uint64_t> times;
    times.reserve(count);
    std::size_t received = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const Address& address = addresses[i % addresses.size()];
        const int fd = ::socket(address.storage.ss_family, SOCK_STREAM, 0);
        const std::uint64_t start = now_ns();
        if (fd < 0 || ::connect(fd, address.get(), address.size) != 0)
            fail("connect");
        times.push_back(now_ns() - start);
        write_all(fd, request);
        received += read_up_to(fd, reply);
        read_up_to(fd, 1); // the other side closes first
        ::close(fd);
    }
    std::sort(times.begin(), times.end());
    const auto part = [&](std::size_t percent) {
        return times.empty() ? 0 : times[(times.size() - 1) * percent / kPercent];
    };
    std::uint64_t sum = 0;
    for (const std::uint64_t time : times)
        sum += time;
    std::printf(
        "{\"sessions\":%zu,\"sent\":%zu,\"received\":%zu,\"connect\":{\"p50\":%llu,\"p90\":%llu,"
        "\"max\":%llu,\"sum\":%llu}}\n",
        count, count * request, received, static_cast<unsigned long long>(part(50)),
        static_cast<unsigned long long>(part(90)), static_cast<unsigned long long>(part(kPercent)),
        static_cast<unsigned long long>(sum));
    return std::fflush(stdout) == 0 ? 0 : 1;
}

// ---- request and response ----

void pin_to(std::size_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    errno = ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
    if (errno != 0)
        fail("cannot run on this CPU");
}

struct Pair {
    int near = -1;
    int far = -1;
};

Pair make_tcp()
{
    Address any = make_v4({htonl(INADDR_LOOPBACK)}, 0);
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    auto* address = reinterpret_cast<sockaddr*>(&any.storage);
    if (::bind(listener, address, any.size) != 0 || ::listen(listener, 1) != 0 ||
        ::getsockname(listener, address, &any.size) != 0)
        fail("listen");
    Pair pair{.near = ::socket(AF_INET, SOCK_STREAM, 0), .far = -1};
    if (::connect(pair.near, address, any.size) != 0)
        fail("connect");
    pair.far = ::accept(listener, nullptr, nullptr);
    ::close(listener);
    const int yes = 1;
    for (const int fd : {pair.near, pair.far})
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return pair;
}

Pair make_udp()
{
    const Pair pair{.near = ::socket(AF_INET, SOCK_DGRAM, 0),
                    .far = ::socket(AF_INET, SOCK_DGRAM, 0)};
    for (const int fd : {pair.near, pair.far}) {
        const Address any = make_v4({htonl(INADDR_LOOPBACK)}, 0);
        if (::bind(fd, any.get(), any.size) != 0)
            fail("bind");
    }
    const auto join = [](int one, int other) {
        Address name;
        name.size = sizeof name.storage;
        if (::getsockname(other, reinterpret_cast<sockaddr*>(&name.storage), &name.size) != 0 ||
            ::connect(one, name.get(), name.size) != 0)
            fail("connect");
    };
    join(pair.near, pair.far);
    join(pair.far, pair.near);
    return pair;
}

// Returns every message until an empty one, or the end of the connection.
void echo(std::size_t cpu, int fd)
{
    pin_to(cpu);
    std::array<char, kPingBytes> buffer{};
    for (;;) {
        const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), MSG_WAITALL);
        if (got <= 0)
            return;
        if (::send(fd, buffer.data(), static_cast<std::size_t>(got), 0) != got)
            fail("send");
    }
}

void round_trips(long count, int fd)
{
    std::array<char, kPingBytes> buffer{};
    for (long i = 0; i < count; ++i) {
        if (::send(fd, buffer.data(), buffer.size(), 0) != static_cast<ssize_t>(buffer.size()) ||
            ::recv(fd, buffer.data(), buffer.size(), MSG_WAITALL) !=
                static_cast<ssize_t>(buffer.size()))
            fail("round trip");
    }
}

int ping(std::string_view protocol, std::size_t on_cpu, double seconds)
{
    if ((protocol != "tcp" && protocol != "udp") || on_cpu >= CPU_SETSIZE || seconds <= 0)
        usage();
    pin_to(on_cpu);
    const Pair pair = protocol == "tcp" ? make_tcp() : make_udp();
    std::thread peer(echo, on_cpu, pair.far);
    round_trips(kWarmUpTrips, pair.near);
    const std::uint64_t start = now_ns();
    const std::uint64_t cpu_start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    double elapsed = 0;
    long done = 0;
    while (elapsed < seconds * 1e9) {
        round_trips(kTripsPerClockRead, pair.near);
        done += kTripsPerClockRead;
        elapsed = static_cast<double>(now_ns() - start);
    }
    const auto cpu = static_cast<double>(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_start);
    if (protocol == "tcp")
        ::shutdown(pair.near, SHUT_WR);
    else
        ::send(pair.near, nullptr, 0, 0);
    peer.join();
    std::printf("{\"round_trips\":%ld,\"ns_per_round_trip\":%.1f,\"cpu_ns_per_round_trip\":%.1f}\n",
                done, elapsed / static_cast<double>(done), cpu / static_cast<double>(done));
    return std::fflush(stdout) == 0 ? 0 : 1;
}

} // namespace

int main(int argc, char** argv)
{
    const std::vector<const char*> arguments(argv + 1, argv + argc);
    const std::string_view mode = arguments.empty() ? "" : arguments[0];
    if (mode == "serve" && arguments.size() == 4)
        return serve(number(arguments[1]), number(arguments[2]), number(arguments[3]));
    if (mode == "ping" && arguments.size() == 4)
        return ping(arguments[1], number(arguments[2]), std::strtod(arguments[3], nullptr));
    if (mode != "connect" || arguments.size() < 5)
        usage();
    std::vector<Address> addresses;
    for (std::size_t i = 4; i < arguments.size(); ++i)
        addresses.push_back(parse(arguments[i]));
    return connect_to(number(arguments[1]), number(arguments[2]), number(arguments[3]), addresses);
}
