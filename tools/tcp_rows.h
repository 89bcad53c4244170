// SPDX-License-Identifier: GPL-2.0-only
// What reports about TCP have in common.
#pragma once

#include "model/report.h"
#include "model/snapshot.h"
#include "tools/options.h"

#include <functional>
#include <string_view>

namespace vtrace {

// Why a tool about sockets has no --pid and no --comm, and no --vm.
inline constexpr std::string_view kSocketsInstead =
    "a socket knows its cgroup, not its task; --cgroup=PATH and the like select";
inline constexpr std::string_view kNoGuestSockets =
    "the sockets of a VM are its own kernel's; those of its VMM are its cgroup's";

using AddFigure = std::function<void(Row& row, const TcpFigure& figure)>;

// A row for each entity, and in it one for each peer; `add` is called for both with each figure that `wanted` says
// yes to. Worst first: the heaviest.
void add_peers(Report& report, const Snapshot& snapshot, const ToolOptions& options,
               const std::function<bool(const TcpFigure&)>& wanted, const AddFigure& add,
               const std::function<double(const Row&)>& weight);

// Of kind peer, with its addresses as labels.
Entity peer_entity(const TcpPeer& peer, const PeerKey& key);

} // namespace vtrace
