// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

namespace vtrace {

// `vtrace ps`: the pods, containers and units of this host, to stdout.
Status run_ps(bool json);

} // namespace vtrace
