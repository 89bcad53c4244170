// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/drop_layout.h"
#include "bpf/object.h"
#include "entity/net_namespaces.h"
#include "model/snapshot.h"
#include "vtrace/drop.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace vtrace {

struct DropConfig {
    bool on = false;
    DropLayout layout;
    CgroupHierarchy hierarchy; // v2
};

// The same for this kernel.
DropConfig drop_config(bool on, const CgroupHierarchy& hierarchy);

// Keeps the drops that belong to this cgroup or to one below it.
void keep_drops_in(uint64_t cgroup_id, Snapshot& snapshot);

// Packets that the kernel dropped, from bpf/drop.bpf.c.
class DropCollector {
public:
    static void prepare(BpfObject& object, const DropConfig& config);
    // Attaches. The object must outlive the collector.
    static Result<std::unique_ptr<DropCollector>> start(BpfObject& object,
                                                        const DropConfig& config);

    // Adds what came since the last read to the snapshot.
    Status read(Snapshot& snapshot);

    // A removed cgroup, when its last figures have been reported. What has come since stays for the next read.
    void release_cgroup(uint64_t cgroup_id);

private:
    struct Less {
        bool operator()(const vt_drop_key& a, const vt_drop_key& b) const;
    };
    struct Counted {
        uint64_t packets = 0;
        uint64_t bytes = 0;
        std::string device;
        bool idle = false; // nothing came in the window
    };

    DropCollector(BpfObject& object, const DropConfig& config)
        : object_(&object), layout_(config.layout), namespaces_(config.hierarchy)
    {
    }
    Status read_counts(DropSnapshot& drops);
    void add(const vt_drop_key& key, const vt_drop_count* counts, DropSnapshot& drops);
    void name_locations(const std::vector<uint64_t>& addresses);
    void name_devices(DropSnapshot& drops) const;
    void read_listeners(DropSnapshot& drops);
    void make_room();
    void forget(const vt_drop_key& key);

    BpfObject* object_;
    DropLayout layout_;
    NetNamespaces namespaces_;
    Link link_;
    uint32_t cpus_ = 0;
    std::map<vt_drop_key, Counted, Less> known_;
    std::unordered_map<uint64_t, std::string> locations_; // by address
    std::map<uint32_t, ListenDrops> listeners_;           // by network namespace, since it was made
    uint64_t other_packets_ = 0;
    uint64_t other_bytes_ = 0;
};

} // namespace vtrace
