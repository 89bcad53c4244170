// SPDX-License-Identifier: GPL-2.0-only
#include "demo/threads.h"

#include <system_error>
#include <thread>

namespace vtrace {

Status work_in_threads(int count, const std::function<void()>& work, const Ready& ready)
{
    try {
        for (int i = 1; i < count; i++)
            std::thread(work).detach();
    } catch (const std::system_error& error) {
        return Error{.what = "cannot start a thread", .code = error.code().value()};
    }
    ready();
    work();
    return ok();
}

} // namespace vtrace
