// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/rules.h"

#include <array>

namespace vtrace {

std::span<const Rule> rules()
{
    static const std::array all = {
        cpu_throttled_rule(), cpu_neighbour_rule(),   cpu_self_rule(),
        cpu_idle_rule(),      lock_contention_rule(), memory_limit_rule(),
        memory_host_rule(),   memory_oom_rule(),      disk_limit_rule(),
        disk_slow_rule(),     disk_neighbour_rule(),  net_retransmits_rule(),
        net_drops_rule(),     net_queue_rule(),       softirq_starvation_rule(),
        vm_steal_rule(),      vm_own_threads_rule(),  vm_exits_rule(),
        vm_halts_rule(),      vm_halt_poll_rule(),    vm_emulated_device_rule(),
        measurement_rule(),
    };
    return all;
}

} // namespace vtrace
