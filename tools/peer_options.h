// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "model/tcp.h"

#include <string_view>

namespace vtrace {

// What --by and --subnet say; empty: not given. Usage error if they are not understood.
Result<PeerKey> parse_peer_key(std::string_view by, std::string_view subnet);

} // namespace vtrace
