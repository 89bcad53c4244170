// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "tools/registry.h"

namespace vtrace {

ToolSpec netdrop_tool();
// The same of TCP packets only, with the states of their sockets.
ToolSpec tcpdrop_tool();

} // namespace vtrace
