// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "demo/child.h"

#include <functional>

namespace vtrace {

// For a child: `work` in `count` threads, the calling one among them. The others are never waited for: they end with
// the process. Returns when `work` does so in the calling thread.
Status work_in_threads(int count, const std::function<void()>& work, const Ready& ready);

} // namespace vtrace
