// SPDX-License-Identifier: GPL-2.0-only
#include "collect/each_net_namespace.h"

#include "base/fd.h"
#include "entity/net_namespace_paths.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cstdint>
#include <set>
#include <system_error>
#include <thread>

namespace vtrace {

size_t in_each_net_namespace(const std::function<void()>& run)
{
    size_t missed = 0;
    const auto walk = [&] {
        std::set<uint32_t> known;
        std::set<uint32_t> denied;
        for (const NetNamespacePath& at : net_namespace_paths()) {
            if (known.contains(at.inum))
                continue;
            const Fd fd(::open(at.path.c_str(), O_RDONLY | O_CLOEXEC));
            if (fd && ::setns(fd.get(), CLONE_NEWNET) == 0) {
                known.insert(at.inum);
                run();
            } else if (::access(at.path.c_str(), F_OK) == 0) {
                denied.insert(at.inum); // by this way, which has not gone meanwhile
            }
        }
        std::erase_if(denied, [&](uint32_t inum) { return known.contains(inum); });
        missed = denied.size();
    };
    // The namespace of a thread is its own. There may be no room for one more.
    try {
        std::thread(walk).join();
    } catch (const std::system_error&) {
        missed++;
    }
    return missed;
}

} // namespace vtrace
