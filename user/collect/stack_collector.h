// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/object.h"
#include "model/snapshot.h"
#include "symbol/frame_names.h"
#include "symbol/process_image.h"
#include "vtrace/stacks.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace vtrace {

struct StackConfig {
    bool on = false;
    uint64_t min_ns = 0; // of the time off a CPU
    uint64_t max_ns = UINT64_MAX;
    bool blocked_only = false; // not what could run but for a CPU
    bool task_storage = true;
    uint32_t threads = 0;
};

// Where tasks block, by stack and reason, from bpf/common/stacks.bpf.h.
// Limits: user stacks by frame pointers; a process must live until the next poll() to be named.
class StackCollector {
public:
    using OwnerOf = std::function<OwnerId(uint32_t slot)>;

    // Turns on what is needed, before BpfObject::load().
    static void prepare(BpfObject& object, const StackConfig& config);
    // Before the collector of sched_switch starts. The object must outlive the collector.
    static Result<std::unique_ptr<StackCollector>> start(BpfObject& object,
                                                         const StackConfig& config);

    // The first window starts here: once the hook runs.
    Status begin();

    // Names the stacks of processes while they live; call it about ten times a second.
    void poll();

    // Adds what happened since the last read to the snapshot. `owner_of` knows the slots.
    Status read(Snapshot& snapshot, const OwnerOf& owner_of);

private:
    struct Named {
        std::vector<std::string> frames;
        uint64_t used = 0; // the last report it was in
    };

    StackCollector(BpfObject& object, const StackConfig& config) : object_(&object), config_(config)
    {
    }

    [[nodiscard]] int map_of_window(uint64_t window) const;
    Status next_window();
    void name_new();
    void name_process(uint32_t pid, const std::vector<std::pair<uint64_t, vt_stack>>& stacks);
    const std::vector<std::string>& frames_of(uint64_t id, bool kernel);
    void forget_unused();
    Block block_of(const vt_block_key& key, StackSnapshot& stacks, const OwnerOf& owner_of);
    Status read_ended(int totals, StackSnapshot& stacks, const OwnerOf& owner_of);
    Status read_open(StackSnapshot& stacks, const OwnerOf& owner_of);
    void read_losses(Loss& loss);
    static int on_new_stack(void* self, void* data, size_t size);

    BpfObject* object_;
    StackConfig config_;
    FrameNames names_;
    bool knows_processes_ = clock_is_of_host(); // else none is the one that had the stack
    Link open_blocks_;
    Ring ring_;
    std::vector<uint64_t> new_;                          // ids of stacks to name
    std::unordered_map<uint64_t, Named> named_;          // by the id of the stack
    std::unordered_map<std::string, uint32_t> interned_; // frames of the snapshot that is made
    uint64_t window_ = 0;
    vt_stack_losses before_{};
};

} // namespace vtrace
