// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace vtrace {

// Whom a figure is charged to: a leaf, which is one VM, or what is in none, in one cgroup; or threads or work of
// the kernel's own. Entities are made of them when a report is.
struct OwnerId {
    uint64_t cgroup_id = 0; // 0: not known, or cgroups were not asked for
    uint64_t vm = 0;        // EntityFact::vm; 0 is none, or VMs were not asked for
    std::string kthread;    // the kernel's own: its name, raw bytes; cgroup_id and vm are 0 then
    auto operator<=>(const OwnerId&) const = default; // NOLINT(modernize-use-nullptr)
    bool operator==(const OwnerId&) const = default;
};

} // namespace vtrace
