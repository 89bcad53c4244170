// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace vtrace {

// A mounted cgroup hierarchy.
struct CgroupHierarchy {
    std::string controller; // of v1: the one that it was chosen for
    bool v1 = false;
    std::string mount_point;
    int kernel_id = 0;    // hierarchy id; 0 is the default (v2) one
    uint32_t cgroups = 0; // cgroups in it, about

    [[nodiscard]] std::string label() const { return v1 ? controller + " (v1)" : "v2"; }
};

// Controllers of cgroup v1, for hierarchy_of().
inline constexpr std::string_view kCpuController = "cpu";
inline constexpr std::string_view kBlockController = "blkio";
inline constexpr std::string_view kMemoryController = "memory";
// Sockets belong to cgroups of v2 only: sk_cgrp_data (kernel commit bd1060a1d671).
inline constexpr std::string_view kOnlyV2{};

// The hierarchy that what a controller accounts is charged to: v1's where that controller is mounted (v1 and
// hybrid hosts), else v2; with kOnlyV2 v2 wherever it is mounted. A pure function of the texts of /proc/self/mountinfo and /proc/cgroups.
Result<CgroupHierarchy> hierarchy_of(std::string_view controller, std::string_view mountinfo,
                                     std::string_view cgroups);

// The same for this host.
Result<CgroupHierarchy> hierarchy_of(std::string_view controller);

// The id of the cgroup that a user calls `path`: a path in the hierarchy ("/docker/x") or below
// its mount point. Usage error if there is none.
Result<uint64_t> find_cgroup(const CgroupHierarchy& hierarchy, const std::string& path);

} // namespace vtrace
