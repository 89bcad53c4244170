// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace vtrace {

// Devices of the network namespace that the calling thread is in, by rtnetlink(7). All fail with kNotPossible.

// A pair of veth devices: `name` here, `peer` in the namespace of the process `peer_pid`.
Status make_veth(const std::string& name, const std::string& peer, pid_t peer_pid);

// Brings a device up.
Status bring_up(const std::string& name);

// An IPv4 address in host byte order, in a network of 4.
Status add_address(const std::string& name, uint32_t address);

// Has a device let out no more than this: tbf, tc-tbf(8). `queue` are the bytes that may wait.
Status limit_rate(const std::string& name, uint32_t bytes_per_second, uint32_t burst,
                  uint32_t queue);

} // namespace vtrace
