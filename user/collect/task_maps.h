// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>

struct bpf_map;

namespace vtrace {

// Where state about tasks is kept: task storage, or, where the kernel has none (before 5.12), a hash in its
// place that has room for several times the threads present.
struct TaskMaps {
    bool wanted = false;
    bool task_storage = true;
    uint32_t threads = 0; // present
};
void prepare_task_maps(bpf_map* storage, bpf_map* hash, const TaskMaps& config);

} // namespace vtrace
