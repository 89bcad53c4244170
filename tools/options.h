// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/tcp.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace vtrace {

// The options that every measuring tool shares, as the user gave them.
struct ToolOptions {
    std::string group; // kind of the rows: vm, container, pod, unit or cgroup; empty is the host
    std::string target_kind; // what to select: the kind; empty is all
    std::string target;      // and its name or id
    int pid = 0;             // 0 is every process
    std::string comm;        // glob, empty is every task
    size_t top = 0;          // 0: text shows 20 rows, JSON all
    double slower_ms = 0;
    std::optional<uint32_t> vcpu;                            // by its number
    double min_ms = 1;                                       // offcputime
    double max_ms = std::numeric_limits<double>::infinity(); // offcputime
    bool blocked = false;                                    // offcputime
    std::string device;                                      // biolatency, iotop: a disk's name
    bool sizes = false;                                      // biolatency
    bool pattern = false;                                    // biolatency
    PeerKey peers;                                           // of the tools about TCP
    bool ttfb = false;                                       // tcpconnlat
    bool json = false;
    bool folded = false;
    std::string output; // file, empty is stdout
    std::string record; // file to keep what was measured in; empty is none
    bool timestamp = false;
    bool overhead = false;
    bool include_self = false;
    bool offcpu = false;  // cpudist
    bool threads = false; // states
    bool verbose = false;
    double interval = 0; // seconds; 0 is until Ctrl-C
    uint64_t count = 0;  // reports; 0 is without end

    [[nodiscard]] bool text() const { return !json && !folded; }
    // The kind that single and open waits are shown by.
    [[nodiscard]] std::string wait_kind() const { return group.empty() ? "cgroup" : group; }
};

} // namespace vtrace
