// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "collect/histogram_reader.h"
#include "collect/net_links.h"
#include "entity/net_namespaces.h"
#include "entity/tap_holders.h"
#include "model/snapshot.h"
#include "vtrace/netq.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace vtrace {

struct NetqConfig {
    bool on = false;
    bool has_enqueue = false;  // the kernel tells what comes into a queue
    CgroupHierarchy hierarchy; // v2
};

// The same for this kernel.
NetqConfig netq_config(bool on, const CgroupHierarchy& hierarchy);

// Marks the devices that belong to this cgroup or to one below it, or to this VM (EntityFact::vm) if that is not 0.
void select_devices_in(uint64_t cgroup_id, uint64_t vm, Snapshot& snapshot);

// What packets wait for in network devices and on the way between them, from bpf/netq.bpf.c and from the devices'
// own counters. Needs the softirqs of IrqCollector.
class NetqCollector {
public:
    static void prepare(BpfObject& object, const NetqConfig& config);
    // Attaches. The object must outlive the collector.
    static Result<std::unique_ptr<NetqCollector>> start(BpfObject& object,
                                                        const NetqConfig& config);

    // Adds what came since the last read to the snapshot.
    void read(Snapshot& snapshot);

private:
    struct Device {
        HistogramTotals wait;
        HistogramTotals sent;
        HistogramTotals late;
        uint64_t not_timed = 0;
        uint64_t put_out = 0;
        uint64_t polls = 0;
        uint64_t exhausted = 0;
    };
    using Devices = std::map<NetDeviceId, NetDevice>;

    NetqCollector(BpfObject& object, const NetqConfig& config)
        : object_(&object), config_(config), namespaces_(config.hierarchy)
    {
    }
    Status map_all();
    Status attach_all();
    Devices read_links(Loss& loss);
    [[nodiscard]] std::optional<NetCounts> counts_since(const NetLink& link) const;
    void name_holders(Devices& devices);
    void read_devices(Devices& devices, Loss& loss, uint32_t epoch);
    NetDevice read_device(uint32_t slot, uint32_t epoch);
    void read_hops(NetqSnapshot& netq, Loss& loss, uint32_t epoch);
    static void add_gone(const std::vector<NetHop>& hops, Devices& devices);
    static bool leads_to(const NetDevice& from, const NetDeviceId& to);
    static void cut_paths(std::vector<NetHop>& hops, const Devices& devices);
    void free_left();
    void leave(const std::set<NetDeviceId>& present);

    BpfObject* object_;
    NetqConfig config_;
    NetNamespaces namespaces_;
    uint32_t cpus_ = 0; // possible ones
    std::vector<Link> links_;
    MappedArray<vt_netq_device> devices_;
    MappedArray<vt_netq_hop> hops_;
    std::vector<Device> device_before_;       // by slot
    std::vector<HistogramTotals> hop_before_; // by slot
    std::set<uint32_t> idle_devices_;         // slots that nothing came to in the last window
    std::set<uint32_t> idle_hops_;
    size_t taken_devices_ = 0; // slots
    size_t taken_hops_ = 0;
    std::set<uint32_t> left_devices_; // of devices that have gone: free at the next read
    std::set<uint32_t> left_hops_;
    std::map<NetDeviceId, NetCounts> counts_before_;
    std::set<uint32_t>
        cut_before_; // namespaces of which some devices may have been missed the last time
    TapHolders holders_;
    std::set<NetDeviceId> unheld_; // taps that nobody was found to hold, and when
    std::chrono::steady_clock::time_point unheld_since_;
    uint64_t clock_anomaly_ = 0;
};

} // namespace vtrace
