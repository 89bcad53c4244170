// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "model/snapshot.h"
#include "vtrace/states.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace vtrace {

struct StateConfig {
    bool on = false;
    bool by_thread = false; // each thread, too
};

// Where the time of threads goes, from bpf/common/states.bpf.h.
class StateCollector {
public:
    using OwnerOf = std::function<OwnerId(uint32_t slot)>;

    // Before BpfObject::load(), after SchedCollector::prepare().
    static void prepare(BpfObject& object, const StateConfig& config);
    // The object must outlive the collector.
    static Result<std::unique_ptr<StateCollector>> start(BpfObject& object,
                                                         const StateConfig& config);

    // Once the tasks are known: the first window starts when this returns.
    Status begin(uint32_t slots);

    // Adds what is new since the last read to the snapshot; `slots` that there are now.
    Status read(Snapshot& snapshot, uint32_t slots, const OwnerOf& owner_of);

private:
    // In a window differences may be a little below 0.
    struct Sum {
        uint64_t threads = 0;
        vt_thread_times times{};
    };

    explicit StateCollector(const StateConfig& config) : config_(config) {}

    StateConfig config_;
    Link threads_;
    MappedArray<vt_thread_times> ended_; // by slot
    std::vector<vt_thread_times> ended_before_;
};

} // namespace vtrace
