// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/drop_layout.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "entity/net_namespaces.h"
#include "model/snapshot.h"
#include "vtrace/drop.h"

#include <cstdint>
#include <map>
#include <memory>
#include <set>
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
    void read(Snapshot& snapshot);

    // A removed cgroup, when its last figures have been reported. What has come since stays for the next read.
    void release_cgroup(uint64_t cgroup_id);

private:
    struct Less {
        bool operator()(const vt_drop_key& a, const vt_drop_key& b) const;
    };
    struct Counts {
        uint64_t packets = 0;
        uint64_t bytes = 0;
    };
    struct Kind {
        Counts before;
        std::string device;
        bool idle = false; // nothing came in the last window
    };

    DropCollector(BpfObject& object, const DropConfig& config)
        : object_(&object), layout_(config.layout), namespaces_(config.hierarchy)
    {
    }
    Status map_all();
    [[nodiscard]] Counts counted(uint32_t slot) const;
    Counts read_new(uint32_t slot);
    const std::string& device_of(uint32_t slot);
    void read_counts(DropSnapshot& drops);
    void name_locations(const std::vector<uint64_t>& addresses);
    void name_devices(DropSnapshot& drops) const;
    void read_listeners(DropSnapshot& drops);
    void free_left();
    void make_room();
    void leave(const std::vector<uint32_t>& slots);

    BpfObject* object_;
    DropLayout layout_;
    NetNamespaces namespaces_;
    Link link_;
    uint32_t cpus_ = 0; // possible ones
    MappedArray<vt_drop_kind> kinds_;
    MappedArray<vt_drop_count> counts_;
    std::vector<Kind> known_;                             // by slot
    size_t taken_ = 0;                                    // slots
    std::set<uint32_t> left_;                             // slots that are free at the next read
    std::unordered_map<uint64_t, std::string> locations_; // by address
    std::map<uint32_t, ListenDrops> listeners_;           // by network namespace, since it was made
};

} // namespace vtrace
