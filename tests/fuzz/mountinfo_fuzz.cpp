// SPDX-License-Identifier: GPL-2.0-only
// The texts of /proc/self/mountinfo and /proc/cgroups, separated by a zero byte.
#include "entity/cgroup_hierarchy.h"
#include "entity/mountinfo.h"
#include "require.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace vtrace;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const size_t zero = text.find('\0');
    const std::string_view mountinfo = text.substr(0, zero);
    const std::string_view cgroups = zero == std::string_view::npos ? "" : text.substr(zero + 1);

    for (const Mount& mount : parse_mountinfo(mountinfo)) {
        // What was read is in the text, not made up: an escape takes four bytes for one.
        const size_t length = mount.root.size() + mount.mount_point.size() + mount.type.size();
        fuzz::require(length <= mountinfo.size(), "fields are no longer than the text");
        fuzz::require(mount.type.find_first_of(" \n") == std::string::npos,
                      "the type is one field");
    }
    const auto found = hierarchy_of(kCpuController, mountinfo, cgroups);
    if (found) {
        fuzz::require(!found->mount_point.empty(), "a hierarchy has a mount point");
        fuzz::require(found->v1 || found->kernel_id == 0, "v2 is hierarchy 0");
    } else {
        fuzz::require(!found.error().what.empty(), "an error says what");
    }
    return 0;
}
