// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>
#include <vector>

namespace vtrace {

struct Disk;

// What a target of this kind, or a "disk", can be called on this host, for completion; `typed` is the part of it
// that is there already. Of cgroups one level, those with others below them ending in a '/'. Nothing fails:
// what cannot be found is absent.
std::vector<std::string> known_names(const std::string& kind, const std::string& typed);

// The same in any hierarchy.
std::vector<std::string> cgroups_like(const std::string& mount_point, const std::string& typed);

// Of these disks those that have requests: as files if a path is typed.
std::vector<std::string> disks_like(const std::vector<Disk>& disks, const std::string& typed);

} // namespace vtrace
