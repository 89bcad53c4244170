// SPDX-License-Identifier: GPL-2.0-only
// Which cgroup the processes of a network namespace belong to.
#pragma once

#include "entity/cgroup_hierarchy.h"
#include "model/drops.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// The nearest cgroup that both are in or below; paths from the root of the hierarchy, "/" for that.
std::string common_cgroup(std::string_view one, std::string_view other);

// The network namespaces of this host that have processes, or a name in /run/netns.
class NetNamespaces {
public:
    // `hierarchy`: whose cgroups are meant.
    explicit NetNamespaces(CgroupHierarchy hierarchy, std::string proc = "/proc",
                           std::string named = "/run/netns");

    // Looks at all processes: one stat() each, and a file of those that are not in the host's namespace. What
    // vanishes meanwhile is left out; a namespace that has gone is kept until the look after the next.
    void look();

    // By inode number, ascending.
    [[nodiscard]] std::vector<NetNamespaceFact> facts() const;

    // A process in each of them, as the last look saw it; by inode number.
    [[nodiscard]] const std::map<uint32_t, uint32_t>& processes() const { return processes_; }

private:
    using Facts = std::map<uint32_t, NetNamespaceFact>; // by inode number

    Facts read();

    CgroupHierarchy hierarchy_;
    std::string proc_;
    std::string named_;
    Facts now_;
    Facts before_;
    std::map<uint32_t, uint32_t> processes_;
};

} // namespace vtrace
