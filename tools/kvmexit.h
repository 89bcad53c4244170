// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "tools/registry.h"

namespace vtrace {

ToolSpec kvmexit_tool();

} // namespace vtrace
