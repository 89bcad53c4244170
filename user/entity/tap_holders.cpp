// SPDX-License-Identifier: GPL-2.0-only
#include "entity/tap_holders.h"

#include "base/files.h"
#include "entity/net_namespace_paths.h"

#include <cctype>
#include <filesystem>
#include <system_error>
#include <vector>

namespace vtrace {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDevice = "/dev/net/tun";
constexpr std::string_view kName = "iff:";

std::vector<std::string> numbers_in(const std::string& directory)
{
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error)) {
        std::string name = at->path().filename();
        if (std::isdigit(static_cast<unsigned char>(name.front())) != 0)
            names.push_back(std::move(name));
    }
    return names;
}

// The device that a descriptor is of; empty if of none.
std::string held(const std::string& process, const std::string& descriptor)
{
    std::error_code error;
    if (fs::read_symlink(process + "/fd/" + descriptor, error) != fs::path(kDevice) || error)
        return {};
    const auto info = read_file(process + "/fdinfo/" + descriptor);
    return info ? std::string(tap_of(*info)) : "";
}

} // namespace

std::string_view tap_of(std::string_view fdinfo)
{
    for (const std::string_view line : split(fdinfo, '\n')) {
        if (!line.starts_with(kName))
            continue;
        std::string_view name = line.substr(kName.size());
        name.remove_prefix(std::min(name.find_first_not_of(" \t"), name.size()));
        return name;
    }
    return {};
}

TapHolders tap_holders(const std::set<uint32_t>& namespaces, const std::string& proc)
{
    TapHolders holders;
    if (namespaces.empty())
        return holders;
    for (const NetNamespacePath& at : net_namespace_paths({.proc = proc})) {
        if (at.pid == 0 || !namespaces.contains(at.inum))
            continue;
        const std::string process = proc + "/" + std::to_string(at.pid);
        for (const std::string& descriptor : numbers_in(process + "/fd")) {
            const std::string device = held(process, descriptor);
            if (device.empty())
                continue;
            const TapHolder found{.pid = at.pid, .descriptor = descriptor};
            const auto [known, is_new] = holders.try_emplace({at.inum, device}, found);
            if (!is_new && known->second.pid != found.pid)
                known->second = {};
        }
    }
    return holders;
}

bool holds_tap(const TapHolder& holder, std::string_view device, const std::string& proc)
{
    return holder.pid != 0 &&
           held(proc + "/" + std::to_string(holder.pid), holder.descriptor) == device;
}

} // namespace vtrace
