// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// One line of /proc/PID/mountinfo (proc_pid_mountinfo(5)); octal escapes are undone.
struct Mount {
    std::string root; // the part of the filesystem that is mounted
    std::string mount_point;
    std::string type;
    std::string super_options;
};

// Lines that are not of the documented form are left out.
std::vector<Mount> parse_mountinfo(std::string_view text);

// Of several mounts of a hierarchy the first that shows all of it, else the first.
void prefer_whole(Mount& chosen, const Mount& mount);

} // namespace vtrace
