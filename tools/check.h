// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

namespace vtrace {

// `vtrace check`: what this kernel, these privileges offer, and what falls back to what. Fails with
// kNotPossible (after the list) if no tool can run.
Status run_check(bool json);

} // namespace vtrace
