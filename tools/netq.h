// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "tools/registry.h"

namespace vtrace {

ToolSpec netq_tool();

} // namespace vtrace
