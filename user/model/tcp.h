// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/histogram.h"
#include "model/owner.h"
#include "vtrace/tcp.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// What peers are told apart by, in figures.
struct PeerKey {
    bool remote = true;   // by the address of the other end
    bool local = false;   // by the own address
    bool port = true;     // by the port of the service
    uint32_t bits4 = 32;  // of addresses of IPv4, 1 to 32: the rest is left out
    uint32_t bits6 = 128; // likewise of IPv6, 1 to 128
    bool operator==(const PeerKey&) const = default;
};

// The address in the kernel's order, as people write it; one of IPv4 in IPv6 as IPv4. Empty: not told apart.
std::string address_text(const vt_address& address);

// Whose connections, and with whom.
struct TcpPeer {
    OwnerId owner;      // with a cgroup of v2: of the socket
    std::string remote; // its address; empty: not told apart
    std::string local;
    uint16_t port = 0;   // of the service; 0: not told apart
    uint8_t side = 0;    // enum vt_tcp_side
    bool others = false; // of that owner that found no room of their own
    auto operator<=>(const TcpPeer&) const = default; // NOLINT(modernize-use-nullptr)
    bool operator==(const TcpPeer&) const = default;
};

// "10.0.0.2:80" of one that was connected to, "10.0.0.3 to :80" of one that connected; "[fd00::1]:80".
std::string peer_name(const TcpPeer& peer, const PeerKey& key);

std::string_view side_name(uint8_t side); // "out", "in", "unknown"

struct TcpVolume {
    uint64_t sent = 0; // bytes of payload, those that were sent again once
    uint64_t received = 0;
    uint64_t segments_out = 0; // with those that were sent again, and with those without payload
    uint64_t segments_in = 0;
    uint64_t retransmitted = 0; // segments, without SYN-ACKs
    bool operator==(const TcpVolume&) const = default;
};

// Segments sent again, by why and in which state.
struct TcpRetransmits {
    uint32_t kind = 0;  // enum vt_tcp_retransmit
    uint32_t state = 0; // BPF_TCP_*
    uint64_t segments = 0;
    uint64_t events = 0;
    bool operator==(const TcpRetransmits&) const = default;
};

std::string_view retransmit_name(uint32_t kind);
std::string_view failure_name(uint32_t cause); // in JSON: "timed_out"

// What one peer had in the window.
struct TcpFigure {
    TcpPeer peer;
    uint64_t connected = 0;
    uint64_t accepted = 0;
    uint64_t untimed = 0; // of them: their round trip is not known
    uint64_t no_first_byte = 0;
    uint64_t sessions = 0;     // that ended
    uint64_t ages_unknown = 0; // of them: not in the histogram
    uint64_t open = 0;         // sessions, at the end of the window
    std::array<uint64_t, VT_TCP_CAUSES> failed{};
    TcpVolume volume;
    std::vector<TcpRetransmits> again;
    Histogram connect;    // from the SYN to the SYN-ACK
    Histogram accept;     // from the SYN-ACK to its ACK
    Histogram first_byte; // from the SYN to the first byte received
    Histogram duration;   // of sessions that ended
    Histogram round_trip; // smoothed, at each segment received
    bool operator==(const TcpFigure&) const = default;
};

// A connection that nobody had answered when the window ended.
struct OpenConnect {
    TcpPeer peer;
    uint32_t tgid = 0;
    std::string comm; // raw bytes
    uint64_t age_ns = 0;
    bool operator==(const OpenConnect&) const = default;
};

struct TcpSnapshot {
    PeerKey key;
    std::vector<TcpFigure> figures;
    std::vector<OpenConnect> connecting; // longest first
    bool operator==(const TcpSnapshot&) const = default;
};

// A single session above the threshold of --slower.
struct SlowSession {
    int64_t end_ns = 0; // ns since 1970
    uint64_t ns = 0;
    OwnerId owner;
    TcpVolume volume;
    std::string remote;
    std::string local;
    uint16_t remote_port = 0;
    uint16_t local_port = 0;
    uint8_t side = 0;  // enum vt_tcp_side
    uint32_t tgid = 0; // who connected; 0: not known
    std::string comm;
};

} // namespace vtrace
