// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "demo/loads.h"

#include <chrono>

namespace vtrace {

// Loads in network namespaces that their processes alone hold. The first of a pair is started first in its stage, the
// second one finds it there.

// Datagrams to a socket with the smallest buffer, of which ten a second are read.
Load receive_too_little();

// To that socket, each of 512 bytes, one after `pause`.
Load send_datagrams(std::chrono::microseconds pause);

// Reads all datagrams that come over a pair of veth devices.
Load receive_datagrams();

// Sends to that as many as it can over that pair, of which its own device lets out 1 MB/s.
Load send_through_slow_link();

} // namespace vtrace
