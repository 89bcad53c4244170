// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "demo/child.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace vtrace {

struct Running;

// What a child does: gets what it needs, says that it is ready, then works until it is killed. Returns only an error.
using Load = std::function<Status(const Running&, const Ready&)>;

// Computes for `busy`, sleeps for `idle`, again and again; without `idle` it takes all that it gets of a CPU.
Load compute(std::chrono::microseconds busy, std::chrono::microseconds idle);

// Threads that do everything under one lock: each computes under it for `held`, then rests for `idle` without it.
Load fight_over_lock(int threads, std::chrono::microseconds held, std::chrono::microseconds idle);

// Writes to every page of `bytes` of its memory, a hundred times a second at most.
Load touch_memory(uint64_t bytes);

// Again and again a process in `cgroup` that takes memory until it is killed, at the latest at `bytes`.
Load outgrow_memory(const std::string& cgroup, uint64_t bytes);

// Looks at every page of the stage's disk, again and again, in its memory: each that is not cached is read.
Load map_disk();

// One direct read of `block` bytes after the other, with a pause between them.
Load read_disk(size_t block, std::chrono::microseconds pause);

// Writes blocks of its disk in turn past the page cache, the next one after `pause`.
Load write_disk(size_t block, std::chrono::microseconds pause);

// Keeps `depth` writes of its disk on their way, past the page cache.
Load flood_disk(int depth, size_t block);

} // namespace vtrace
