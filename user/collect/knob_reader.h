// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/knobs.h"

#include <string>
#include <vector>

namespace vtrace {

// The settings of the host that advice names: sysctls of memory and network, parameters of KVM and of idle CPUs, the
// queues of its disks. What this kernel does not have, or does not let be read, is left out.
// `root` is "/" but in tests.
std::vector<Knob> read_knobs(const std::string& root = "/");

} // namespace vtrace
