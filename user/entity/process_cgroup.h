// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <optional>
#include <string>

namespace vtrace {

// The path of a process's cgroup from the root of a hierarchy, from `process`/cgroup (man 7 cgroups); nothing if the
// process has gone. `process` is its directory in /proc, `hierarchy` CgroupHierarchy::kernel_id.
std::optional<std::string> process_cgroup(const std::string& process, int hierarchy);

} // namespace vtrace
