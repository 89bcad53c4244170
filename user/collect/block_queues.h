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
    uint32_t number = 0; // major << 20 | minor; 0: a path of another one (NVMe), which has none
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

    // Calls `found` for each request to `device` (0: to any), and if `held` with a stage of VT_BLOCK_HELD_BY_LIMIT and
    // the like for who is held back. A request that completes meanwhile may be among them.
    using Found = std::function<void(const vt_block_open&)>;
    void walk(uint32_t device, bool held, const Found& found);

    // Runs that the kernel refused, or that had more to look at than they may.
    [[nodiscard]] uint64_t failed() const { return failed_; }
    // Queues that could not be opened at the last update().
    [[nodiscard]] uint64_t closed() const { return closed_; }

private:
    struct Queue {
        Fd directory;
        uint64_t inode = 0;
        uint32_t device = 0; // 0: a path of another disk, which has no number in sysfs
        bool first = false;  // of its disk
    };

    explicit BlockQueues(BpfObject& object) : object_(&object) {}
    bool run(bpf_program* program, uint32_t fd, uint32_t from);
    void each_found(uint32_t device, const Found& found);

    BpfObject* object_;
    MappedArray<vt_block_open> open_;
    std::map<std::string, Queue> queues_; // by path
    uint64_t failed_ = 0;
    uint64_t closed_ = 0;
};

} // namespace vtrace
