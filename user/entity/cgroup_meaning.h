// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vtrace {

// What the name of a cgroup says of who lives in it, by the conventions of those who made it. Strings are
// raw bytes.
struct CgroupMeaning {
    std::string kind;   // container, pod or unit
    std::string engine; // docker, podman, containerd, cri-o, lxc; empty if the name does not tell
    std::string id;     // container: the engine's id; pod: its uid; else empty
    std::string
        name; // unit: unescaped; container of lxc: its name; else empty: names are on record
    bool operator==(const CgroupMeaning&) const = default;
};

// A container or a pod. `name` is one path component, `parent` the one above it.
// Sources: the kubelet's cgroup_manager_linux.go (pod<UID>, kubepods-burstable-pod<UID>.slice), the engines'
// default paths with the cgroupfs and the systemd driver, lxc.container.conf(5).
std::optional<CgroupMeaning> container_or_pod(std::string_view parent, std::string_view name);

// A unit of systemd: systemd.unit(5) has the suffixes.
std::optional<CgroupMeaning> unit(std::string_view name);

// A unit's name with its \xNN escapes resolved (systemd-escape(1)); what is no escape stays.
std::string unescape_unit(std::string_view name);

} // namespace vtrace
