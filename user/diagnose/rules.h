// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "diagnose/rule.h"

#include <span>

namespace vtrace {

// Every rule, in the order of `vtrace rules`.
std::span<const Rule> rules();

// One file each.
Rule cpu_throttled_rule();
Rule cpu_neighbour_rule();
Rule cpu_self_rule();
Rule cpu_idle_rule();
Rule lock_contention_rule();
Rule memory_limit_rule();
Rule memory_host_rule();
Rule memory_oom_rule();
Rule disk_limit_rule();
Rule disk_slow_rule();
Rule disk_neighbour_rule();
Rule net_retransmits_rule();
Rule net_drops_rule();
Rule net_queue_rule();
Rule softirq_starvation_rule();
Rule vm_steal_rule();
Rule vm_own_threads_rule();
Rule vm_exits_rule();
Rule vm_halts_rule();
Rule vm_halt_poll_rule();
Rule vm_emulated_device_rule();
Rule measurement_rule();

} // namespace vtrace
