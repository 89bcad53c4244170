// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "collect/histogram_reader.h"
#include "model/snapshot.h"
#include "vtrace/mem.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace vtrace {

struct MemoryConfig {
    bool on = false;
    bool by_vm = false;
    bool cgroup_v1 = false; // the hierarchy of the memory controller is one of v1
    uint64_t target_vm = 0; // EntityFact::vm; 0 is all
    uint32_t entities = 0;  // cgroups present, for the size of the tables
};

// What tasks did to get memory, or waited for, and whom the kernel killed for it, from bpf/mem.bpf.c. Which tasks,
// cgroups and VMs are looked at SchedCollector::prepare() says.
class MemoryCollector {
public:
    static void prepare(BpfObject& object, const MemoryConfig& config);
    // Attaches. The object must outlive the collector.
    static Result<std::unique_ptr<MemoryCollector>> start(BpfObject& object,
                                                          const MemoryConfig& config);

    // Its hook on switches becomes a part of another one's run, by that one's table: SchedCollector::after_switch().
    Status follow(int after_switch);

    // Takes what the kernel has put into its buffer; call it about ten times a second.
    void poll();
    // Adds what came since the last read to the snapshot.
    void read(Snapshot& snapshot);

    // A removed cgroup, or a VM that has ended, when its last figures have been reported.
    void release_cgroup(uint64_t cgroup_id);
    void release_vm(uint64_t vm);

private:
    struct Before {
        uint64_t count = 0;
        uint64_t pages = 0;
        HistogramTotals time;
    };

    explicit MemoryCollector(BpfObject& object) : object_(&object) {}
    void attach_all();
    void read_stalls(MemorySnapshot& memory);
    void read_open(Snapshot& snapshot);
    void read_losses(Loss& loss);
    void release(uint64_t cgroup_id, uint64_t vm);

    BpfObject* object_;
    std::vector<Link> links_;
    Link on_switch_;                   // null if it follows
    std::vector<std::string> missing_; // tracepoints that this kernel has not
    MappedArray<vt_mem_key> keys_;
    MappedArray<vt_mem_stat> stats_;
    std::vector<Before> before_; // by slot
    Ring ring_;                  // of OOM kills
    std::vector<OomKill> kills_;
    Loss counted_;
};

} // namespace vtrace
