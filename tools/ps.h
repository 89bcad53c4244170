// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

namespace vtrace {

// `vtrace ps`: the pods, containers and units of this host, to stdout. With `every` seconds above 0
// again and again, until Ctrl-C.
Status run_ps(bool json, double every);

} // namespace vtrace
