// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "tools/registry.h"

namespace vtrace {

ToolSpec tcplife_tool();

} // namespace vtrace
