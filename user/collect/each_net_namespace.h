// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstddef>
#include <functional>

namespace vtrace {

// Calls `run` in each network namespace of this host: those of processes, and those that `ip netns` and Docker keep
// by name. It is called in a thread of its own, one namespace after the other. Returns how many could not be
// entered; what is neither of a process nor kept there is not found.
size_t in_each_net_namespace(const std::function<void()>& run);

} // namespace vtrace
