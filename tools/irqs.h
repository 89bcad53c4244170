// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "tools/registry.h"

namespace vtrace {

ToolSpec softirqs_tool();
ToolSpec hardirqs_tool();

} // namespace vtrace
