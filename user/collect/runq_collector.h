// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "model/snapshot.h"
#include "vtrace/runq.h"

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace vtrace {

struct RunqConfig {
    bool by_cgroup = false;
    uint32_t entities = 0; // cgroups present
};

// The lengths of run queues, by samples, from bpf/runq.bpf.c.
class RunqCollector {
public:
    static void prepare(BpfObject& object, const RunqConfig& config);
    // Attaches. The object must outlive the collector.
    static Result<std::unique_ptr<RunqCollector>> start(BpfObject& object,
                                                        const RunqConfig& config);

    // Adds what was seen since the last read to the snapshot.
    Status read(Snapshot& snapshot);
    // A removed cgroup, when its last figures have been reported.
    void release_cgroup(uint64_t cgroup_id);

private:
    using Key = std::pair<uint64_t, uint32_t>; // cgroup id and CPU

    explicit RunqCollector(BpfObject& object) : object_(&object) {}
    [[nodiscard]] std::map<Key, vt_runq_owner> owners() const;

    BpfObject* object_;
    RunqConfig config_;
    MappedArray<vt_runq_cpu> cpus_;
    std::vector<Link> links_;
    std::vector<vt_runq_cpu> before_;
    std::map<Key, vt_runq_owner> owners_before_;
};

} // namespace vtrace
