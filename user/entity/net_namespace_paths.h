// SPDX-License-Identifier: GPL-2.0-only
// Where the network namespaces of this host are found.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vtrace {

struct NetNamespacePlaces {
    std::string proc = "/proc";
    std::string named = "/run/netns";            // by whoever made them, as with `ip netns`
    std::string sandboxes = "/run/docker/netns"; // by Docker, for itself
};

// A file that leads to a network namespace.
struct NetNamespacePath {
    std::string path;
    uint32_t inum = 0;    // inode number of the namespace
    uint32_t pid = 0;     // the process that is in it; 0: it is kept by its name
    std::string name;     // raw bytes; empty if it is a process's
    bool sandbox = false; // the name is Docker's, and says nothing to people
};

// Those of all processes, and then those that are kept by a name: one stat() each. There are many of one
// namespace; what vanishes meanwhile is left out.
std::vector<NetNamespacePath> net_namespace_paths(const NetNamespacePlaces& places = {});

} // namespace vtrace
