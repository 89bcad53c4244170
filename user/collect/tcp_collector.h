// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "collect/histogram_reader.h"
#include "model/snapshot.h"
#include "vtrace/tcp.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace vtrace {

// What has to be measured of TCP.
struct TcpParts {
    bool connects = false;
    bool first_bytes = false; // of connections
    bool round_trips = false;
    bool retransmits = false;
    bool sessions = false;

    [[nodiscard]] bool any() const
    {
        return connects || first_bytes || round_trips || retransmits || sessions;
    }
};

struct TcpConfig {
    TcpParts parts;
    PeerKey key;
    uint64_t slower_ns = 0; // sessions that last as long are handed out one by one; 0: none
};

// Connections, sessions, round trips and segments sent again, from bpf/tcp.bpf.c. Which cgroups are looked at
// SchedCollector::prepare() says.
class TcpCollector {
public:
    using OnSlow = std::function<void(SlowSession)>;

    static void prepare(BpfObject& object, const TcpConfig& config);
    // Attaches. The object must outlive the collector.
    static Result<std::unique_ptr<TcpCollector>> start(BpfObject& object, const TcpConfig& config,
                                                       OnSlow on_slow);

    // Takes what the kernel has put into its buffer; call it about ten times a second.
    void poll();
    // Adds what came since the last read to the snapshot.
    Status read(Snapshot& snapshot);

    // A removed cgroup, when its last figures have been reported.
    void release_cgroup(uint64_t cgroup_id);

private:
    // Of one slot, by now.
    struct Totals {
        vt_tcp_stat stat = {}; // with what open sessions have
        vt_tcp_retransmits again = {};
        std::array<HistogramTotals, VT_TCP_HISTS> hists;
        HistogramTotals round_trip;
    };
    struct Slot {
        std::unique_ptr<Totals> before; // null: nothing was there
        uint32_t sockets = 0;           // that are charged to it
        uint32_t unused = 0;            // reports in which it had nothing, and no socket
        bool retired = false;           // no longer found by its key
    };

    TcpCollector(BpfObject& object, const TcpConfig& config, OnSlow on_slow)
        : object_(&object), config_(config), on_slow_(std::move(on_slow))
    {
    }
    Status map_tables();
    Status attach_all();
    void add_sockets();
    void slow_session(const vt_tcp_session& session);
    Status read_open(TcpSnapshot& tcp, std::vector<vt_tcp_volume>& volumes);
    void take_back(const vt_tcp_open& socket);
    bool keep_dead(const vt_tcp_open& socket);
    bool read_slot(uint32_t slot, const vt_tcp_volume& open, uint32_t epoch, TcpFigure& figure);
    void read_round_trips(uint32_t slot, Totals& before, uint32_t epoch, Histogram& added) const;
    void retire(uint32_t slot);
    void free_if_unused(uint32_t slot, bool has_figures);
    void read_losses(Loss& loss);

    BpfObject* object_;
    TcpConfig config_;
    OnSlow on_slow_;
    std::vector<Link> links_;
    Link add_sockets_;
    Link open_sockets_;
    MappedArray<vt_tcp_key> keys_;
    MappedArray<vt_tcp_stat> stats_;
    MappedArray<vt_hist> hists_;
    MappedArray<vt_hist> round_trips_;
    MappedArray<vt_tcp_retransmits> again_;
    std::vector<Slot> slots_;
    Ring ring_; // of single sessions
    std::vector<std::string> missing_;
    std::map<uint64_t, vt_tcp_open> open_; // at the last read, by address
    std::set<uint64_t> dead_;              // of them: closed, and listed still
    std::set<uint64_t> dead_before_;
    uint64_t unseen_ = 0; // since the last read
    uint64_t sockets_lost_ = 0;
    Loss counted_;
};

} // namespace vtrace
