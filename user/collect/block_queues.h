// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "vtrace/block.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace vtrace {

// The disks of this host, by /sys/block.
struct Disk {
    uint32_t number = 0; // major << 20 | minor
    std::string name;
    bool bio_based = false; // no requests
};
std::vector<Disk> disks_present();

// The disk that a user calls `name`: "sda", "/dev/sda", "8:0", or one of its partitions. Usage error if there is none.
Result<Disk> find_disk(const std::string& name);

// What has not completed: a walk over the requests of all hardware queues, by programs of bpf/block.bpf.c that
// run when they are asked to. Nothing is attached.
class BlockQueues {
public:
    static Result<BlockQueues> start(BpfObject& object);

    // Looks for queues that are new, and for those that are gone.
    void update();

    // Calls `found` for each request, and with VT_BLOCK_HELD for each cgroup that a limit holds back. A request
    // that completes meanwhile may be among them.
    void walk(const std::function<void(const vt_block_open&)>& found);

    // Runs that the kernel refused.
    [[nodiscard]] uint64_t failed() const { return failed_; }

private:
    struct Queue {
        Fd directory;
        uint32_t device = 0;
        bool first = false; // of its disk
    };

    explicit BlockQueues(BpfObject& object) : object_(&object) {}
    bool run(bpf_program* program, uint32_t fd, uint32_t from);
    void each_found(uint32_t device, const std::function<void(const vt_block_open&)>& found);

    BpfObject* object_;
    MappedArray<vt_block_open> open_;
    std::map<std::string, Queue> queues_; // by path
    uint64_t failed_ = 0;
};

} // namespace vtrace
