// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/histogram.h"
#include "model/io_limit.h"
#include "model/owner.h"
#include "vtrace/block.h"

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace vtrace {

// Work of the kernel's own that nobody can be charged with, as OwnerId::kthread.
inline constexpr const char* kWriteback = "writeback";
inline constexpr const char* kJournal = "journal";
inline constexpr const char* kSwap = "swap";
inline constexpr const char* kFlush = "flush";
inline constexpr const char* kNobody = "unknown";

// Of requests that found no room of their own: BlockKey::op; they have no owner and no device.
inline constexpr uint32_t kAnyOperation = 0xff;

// What requests have in common: whose they are, where they go, and what they do.
struct BlockKey {
    OwnerId owner;       // with a cgroup of the hierarchy that has blkio (v1), or io (v2)
    uint32_t device = 0; // BlockDevice::number
    uint32_t op = 0;     // enum req_op
    uint32_t flags = 0;  // VT_BLOCK_SYNC and the like
    auto operator<=>(const BlockKey&) const = default; // NOLINT(modernize-use-nullptr)
    bool operator==(const BlockKey&) const = default;
};

// "read", "write sync", "flush" …
std::string operation_name(uint32_t op, uint32_t flags);

// What kind of owner a key of the kernel side has; see enum vt_block_origin.
OwnerId block_owner(const vt_request_key& key);

// Requests that ended in the window.
struct BlockFigure {
    BlockKey key;
    uint64_t count = 0;
    uint64_t bytes = 0;
    uint64_t errors = 0;      // of them failed
    uint64_t requeued = 0;    // times that one went back to the queue
    uint64_t unsplit = 0;     // in `total` only: it is not known when they were issued
    uint64_t unsplit_ns = 0;  // their time
    uint64_t untimed = 0;     // in no histogram: it is not known when they began
    uint64_t unaccounted = 0; // that the device's own statistics do not have
    uint64_t sequential = 0;  // with a pattern: issued where the one before ended
    uint64_t random = 0;
    std::array<uint64_t, VT_BLOCK_SIZES> sizes{}; // requests by the binary logarithm of their size
    Histogram queue;
    Histogram device;
    Histogram total;
    bool operator==(const BlockFigure&) const = default;
};

struct BlockDevice {
    uint32_t number = 0; // major << 20 | minor
    std::string name;    // raw bytes
    bool bio_based =
        false;        // it has no requests (dm, md, zram): the next are all that is known of it
    uint64_t ios = 0; // in the window, from /proc/diskstats, as the next two
    uint64_t bytes = 0;
    uint64_t ns = 0; // summed over I/Os
    bool operator==(const BlockDevice&) const = default;
};

// A request that had not completed when the window ended.
struct OpenRequest {
    BlockKey key;
    uint64_t sector = 0; // of 512 bytes
    uint64_t bytes = 0;
    uint64_t age_ns = 0;
    uint64_t device_ns = 0; // since it was issued
    bool issued = false;    // to the driver
    bool operator==(const OpenRequest&) const = default;
};

// What let I/O wait before it was a request: that is no time of the disk.
struct HeldBack {
    bool by_limit = false; // of the owner itself: io.max, blkio.throttle
    bool by_cost = false;  // iocost
    bool by_wbt = false;   // writeback throttling of the disk
    auto operator<=>(const HeldBack&) const = default; // NOLINT(modernize-use-nullptr)
    bool operator==(const HeldBack&) const = default;
};

// An owner in samples, beside others.
struct BlockPresence {
    OwnerId owner;
    uint64_t queued = 0; // requests, summed over the samples
    uint64_t issued = 0; // likewise
    HeldBack held;
    bool operator==(const BlockPresence&) const = default;
};

// Samples of one device that found the same owners there.
struct BlockCompany {
    uint32_t device = 0;
    uint64_t samples = 0;
    std::vector<BlockPresence> owners; // each once
    bool operator==(const BlockCompany&) const = default;
};

// The limit that held an owner's I/O back, as it was at the end of the window.
struct BlockLimit {
    OwnerId owner;
    uint32_t device = 0;
    IoLimit limit;
    bool operator==(const BlockLimit&) const = default;
};

// A request above the threshold of --slower.
struct SlowRequest {
    BlockKey key;
    std::string device; // its name, raw bytes
    int64_t end_ns = 0; // ns since 1970
    uint64_t sector = 0;
    uint64_t bytes = 0;
    uint64_t queue_ns = 0;
    uint64_t device_ns = 0;
    uint64_t total_ns = 0;
    bool split = true; // the two before are known
    bool failed = false;
};

struct BlockSnapshot {
    std::vector<BlockFigure> figures;
    std::vector<BlockDevice> devices;
    std::vector<OpenRequest> open;       // longest first
    uint64_t samples = 0;                // that were taken
    std::vector<BlockCompany> companies; // what they found; one that found nothing is in none
    std::vector<BlockLimit> limits;
    // Of the owners in `companies`, those that were asked for; nothing: all.
    std::optional<std::set<OwnerId>> asked_for;
    std::vector<uint64_t>
        with_descendants; // cgroups whose figures have those of cgroups below them
    bool operator==(const BlockSnapshot&) const = default;
};

} // namespace vtrace
