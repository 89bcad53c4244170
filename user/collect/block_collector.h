// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/chunked_array.h"
#include "bpf/object.h"
#include "collect/block_queues.h"
#include "collect/disk_counts.h"
#include "collect/histogram_reader.h"
#include "model/snapshot.h"
#include "vtrace/block.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

namespace vtrace {

// What is to be measured of block I/O.
struct BlockParts {
    bool requests = false; // that end: times, sizes, and what has not ended
    bool samples = false;  // of what is in flight
    bool pattern = false;  // sequential or random

    [[nodiscard]] bool any() const { return requests; }
};

struct BlockConfig {
    BlockParts parts;
    uint32_t device = 0;    // 0 is all
    bool subtree = false;   // only cgroups in one
    uint64_t slower_ns = 0; // 0: no single requests
    // From a sample to the next, at least and on average; longer if a sample takes long.
    std::chrono::nanoseconds sample_every = std::chrono::milliseconds(5);
};

// How block I/O was served, from bpf/block.bpf.c.
class BlockCollector {
public:
    using OnSlow = std::function<void(SlowRequest)>;

    static void prepare(BpfObject& object, const BlockConfig& config);
    // Attaches. The object must outlive the collector.
    static Result<std::unique_ptr<BlockCollector>> start(BpfObject& object,
                                                         const BlockConfig& config, OnSlow on_slow);

    // Makes room, takes a sample if one is due, and tells of slow requests. To be called each poll_every().
    Status poll();
    [[nodiscard]] std::chrono::nanoseconds poll_every() const;

    // Adds what came since the last read to the snapshot.
    Status read(Snapshot& snapshot);

    // A removed cgroup, when its last figures have been reported.
    void release_cgroup(uint64_t cgroup_id);

private:
    struct Before {
        vt_block_stat counts{}; // but for its histograms
        HistogramTotals queue;
        HistogramTotals device;
        HistogramTotals total;
    };
    // A device, and who is there: with requests, held back.
    using Company = std::pair<uint32_t, std::vector<std::tuple<OwnerId, bool, HeldBack>>>;

    BlockCollector(BpfObject& object, const BlockConfig& config, BlockQueues queues,
                   ChunkedArray<vt_block_stat> stats)
        : object_(&object), config_(config), queues_(std::move(queues)), stats_(std::move(stats))
    {
    }

    Status attach_all();
    Status hand_out_slots();
    Status make_room();
    Status keep_issues();
    void sample();
    void look_for_disks();
    void read_figures(BlockSnapshot& block);
    std::optional<BlockFigure> figure(uint32_t slot, uint32_t epoch);
    void add_company(uint32_t device, const std::map<OwnerId, BlockPresence>& owners);
    void read_open(BlockSnapshot& block);
    void read_samples(BlockSnapshot& block);
    void read_devices(BlockSnapshot& block, const DiskCounts& now);
    void hold_against(const DiskCounts& now, Loss& loss);
    void read_losses(Loss& loss);
    std::string device_name(uint32_t number);
    [[nodiscard]] bool wanted(uint32_t device) const
    {
        return config_.device == 0 || device == config_.device;
    }
    int slow_request(const vt_slow_request& slow);

    BpfObject* object_;
    BlockConfig config_;
    BlockQueues queues_;
    ChunkedArray<vt_block_stat> stats_;
    MappedArray<vt_request_key> keys_;
    std::vector<Before> before_; // by slot
    std::vector<Link> links_;
    Ring ring_; // of slow requests
    OnSlow on_slow_;
    DiskCounts disks_;
    // Requests since the start: by the kernel's count, by this one, and how many more the kernel had at most.
    uint64_t kernels_ = 0;
    uint64_t counted_requests_ = 0;
    uint64_t unseen_ = 0;
    uint64_t unsplit_seen_ = 0; // by the windows before
    uint64_t full_seen_ = 0;    // by make_room()
    std::chrono::steady_clock::time_point sampled_;
    std::chrono::nanoseconds sample_every_{};
    std::chrono::steady_clock::time_point look_again_; // for disks
    std::minstd_rand random_;
    uint64_t samples_ = 0;
    std::map<Company, BlockCompany> companies_;
    uint64_t not_sampled_ = 0; // of devices: too many companies
    Loss counted_;
    uint64_t walks_failed_ = 0;
    uint64_t issues_dropped_ = 0;
};

} // namespace vtrace
