// SPDX-License-Identifier: GPL-2.0-only
#include "entity/process_cgroup.h"

#include "base/files.h"

#include <string_view>

namespace vtrace {

std::optional<std::string> process_cgroup(const std::string& process, int hierarchy)
{
    const auto text = read_file(process + "/cgroup");
    if (!text)
        return std::nullopt;
    // HIERARCHY:CONTROLLERS:PATH
    const std::string wanted = std::to_string(hierarchy) + ":";
    for (const std::string_view line : split(*text, '\n')) {
        if (line.starts_with(wanted))
            return std::string(line.substr(line.find(':', wanted.size()) + 1));
    }
    return std::nullopt;
}

} // namespace vtrace
