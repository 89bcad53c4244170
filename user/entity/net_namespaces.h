// SPDX-License-Identifier: GPL-2.0-only
// Which cgroup the processes of a network namespace belong to.
#pragma once

#include "entity/cgroup_hierarchy.h"
#include "entity/net_namespace_paths.h"
#include "model/drops.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// The nearest cgroup that both are in or below; paths from the root of the hierarchy, "/" for that.
std::string common_cgroup(std::string_view one, std::string_view other);

// The network namespaces of this host that have processes, or a name.
class NetNamespaces {
public:
    // `hierarchy`: whose cgroups are meant.
    explicit NetNamespaces(CgroupHierarchy hierarchy, NetNamespacePlaces places = {});

    // Looks at all processes: one stat() each, and a file of those that are not in the host's namespace. What
    // vanishes meanwhile is left out; a namespace that has gone is kept until the look after the next.
    void look();

    // By inode number, ascending: of the time between the look before and the last one. The kernel gives the number
    // of a namespace that has ended to the next one that is made. So what the two looks do not agree on is not
    // known: of different cgroups it is the nearest that both are in, if that is not the root.
    [[nodiscard]] std::vector<NetNamespaceFact> facts() const;

    // A process in each of them, as the last look saw it; by inode number.
    [[nodiscard]] const std::map<uint32_t, uint32_t>& processes() const { return processes_; }

private:
    // What a look saw of a namespace.
    struct Seen {
        bool host = false;
        std::string cgroup; // path of the nearest that all its processes are in; empty: it has none
        uint64_t cgroup_id = 0;
        std::set<std::string> names;     // in /run/netns
        std::set<std::string> sandboxes; // in /run/docker/netns
    };
    using Look = std::map<uint32_t, Seen>; // by inode number

    Look read();
    [[nodiscard]] Seen agreed(const Seen& before, const Seen& now) const;

    CgroupHierarchy hierarchy_;
    NetNamespacePlaces places_;
    Look now_;
    Look before_;
    std::map<uint32_t, uint32_t> processes_;
};

} // namespace vtrace
