// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <chrono>

namespace vtrace {

// From now on Ctrl-C, SIGTERM and SIGHUP ask to stop; a second one ends the process. A reader that
// went away becomes an error of write.
void stop_on_signals();

[[nodiscard]] bool stop_requested();

// How long a stop may go unseen: who waits sleeps no longer than this at a time.
constexpr auto kPollEvery = std::chrono::milliseconds(100);

} // namespace vtrace
