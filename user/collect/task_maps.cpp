// SPDX-License-Identifier: GPL-2.0-only
#include "collect/task_maps.h"

#include <bpf/libbpf.h>

#include <algorithm>

namespace vtrace {

void prepare_task_maps(bpf_map* storage, bpf_map* hash, const TaskMaps& config)
{
    constexpr uint32_t kAtLeast = 16384;
    bpf_map__set_autocreate(storage, config.wanted && config.task_storage);
    bpf_map__set_autocreate(hash, config.wanted && !config.task_storage);
    bpf_map__set_max_entries(hash, std::max(kAtLeast, 4 * config.threads));
}

} // namespace vtrace
