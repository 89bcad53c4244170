// SPDX-License-Identifier: GPL-2.0-only
#include "model/tcp.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <cstring>

namespace vtrace {
namespace {

constexpr size_t kBytes = 16;
constexpr size_t kPrefix = 12; // of an address of IPv4 in IPv6: ::ffff:

std::string with_bits(const std::string& address, const PeerKey& key)
{
    if (address.empty())
        return "";
    const bool v6 = address.find(':') != std::string::npos;
    constexpr uint32_t kAll4 = 32;
    constexpr uint32_t kAll6 = 128;
    if (v6)
        return key.bits6 == kAll6 ? address : fmt::format("{}/{}", address, key.bits6);
    return key.bits4 == kAll4 ? address : fmt::format("{}/{}", address, key.bits4);
}

std::string with_port(const std::string& address, uint16_t port, bool by_port)
{
    if (!by_port)
        return address;
    const bool v6 = address.find(':') != std::string::npos;
    return fmt::format(fmt::runtime(v6 ? "[{}]:{}" : "{}:{}"), address, port);
}

} // namespace

std::string address_text(const vt_address& address)
{
    std::array<unsigned char, kBytes> bytes{};
    std::memcpy(bytes.data(), &address, bytes.size());
    constexpr std::array<unsigned char, kPrefix> kMapped = {0, 0, 0, 0, 0,    0,
                                                            0, 0, 0, 0, 0xff, 0xff};
    if (bytes == std::array<unsigned char, kBytes>{})
        return "";
    const bool v4 = std::memcmp(bytes.data(), kMapped.data(), kPrefix) == 0;
    std::array<char, INET6_ADDRSTRLEN> text{};
    ::inet_ntop(v4 ? AF_INET : AF_INET6, bytes.data() + (v4 ? kPrefix : 0), text.data(),
                text.size());
    return text.data();
}

std::string peer_name(const TcpPeer& peer, const PeerKey& key)
{
    if (peer.others)
        return "other";
    const std::string remote = with_bits(peer.remote, key);
    const std::string local = with_bits(peer.local, key);
    const bool out = peer.side == VT_TCP_OUT;
    const std::string to = with_port(out ? remote : local, peer.port, key.port);
    const std::string& from = out ? local : remote;
    if (from.empty())
        return to.empty() ? "any" : to;
    return to.empty() ? from : from + " to " + to;
}

std::string_view side_name(uint8_t side)
{
    switch (side) {
    case VT_TCP_OUT: return "out";
    case VT_TCP_IN: return "in";
    default: return "unknown";
    }
}

std::string_view retransmit_name(uint32_t kind)
{
    switch (kind) {
    case VT_TCP_BY_TIMEOUT: return "timeout";
    case VT_TCP_FAST: return "fast";
    case VT_TCP_PROBE: return "probe";
    case VT_TCP_SYN: return "SYN";
    case VT_TCP_SYN_ACK: return "SYN-ACK";
    default: return "other";
    }
}

std::string_view failure_name(uint32_t cause)
{
    switch (cause) {
    case VT_TCP_REFUSED: return "refused";
    case VT_TCP_TIMED_OUT: return "timed_out";
    case VT_TCP_UNREACHABLE: return "unreachable";
    case VT_TCP_RESET: return "reset";
    case VT_TCP_NOT_SENT: return "not_sent";
    case VT_TCP_CLOSED: return "closed";
    default: return "failed_otherwise";
    }
}

} // namespace vtrace
