// SPDX-License-Identifier: GPL-2.0-only
#include "tools/stop_signal.h"

#include <csignal>

namespace vtrace {
namespace {

volatile std::sig_atomic_t requested = 0;

} // namespace

void stop_on_signals()
{
    struct sigaction action = {};
    action.sa_handler = [](int) { requested = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    for (const int number : {SIGINT, SIGTERM, SIGHUP})
        ::sigaction(number, &action, nullptr);
    // A reader that went away is an error of write, with a message.
    struct sigaction ignore = {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignore, nullptr);
}

bool stop_requested()
{
    return requested != 0;
}

} // namespace vtrace
