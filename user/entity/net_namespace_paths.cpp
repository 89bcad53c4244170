// SPDX-License-Identifier: GPL-2.0-only
#include "entity/net_namespace_paths.h"

#include <sys/stat.h>

#include <charconv>
#include <filesystem>
#include <system_error>
#include <utility>

namespace vtrace {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const std::string& directory)
{
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
        names.push_back(at->path().filename().string());
    return names;
}

// 0: it is the name of something else.
uint32_t pid_of(const std::string& name)
{
    uint32_t pid = 0;
    const char* const end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data(), end, pid);
    return error == std::errc{} && rest == end ? pid : 0;
}

void add_if_there(NetNamespacePath found, std::vector<NetNamespacePath>& paths)
{
    struct stat st = {};
    if (::stat(found.path.c_str(), &st) != 0)
        return;
    found.inum = static_cast<uint32_t>(st.st_ino);
    paths.push_back(std::move(found));
}

} // namespace

std::vector<NetNamespacePath> net_namespace_paths(const NetNamespacePlaces& places)
{
    std::vector<NetNamespacePath> paths;
    for (const std::string& name : names_in(places.proc)) {
        const uint32_t pid = pid_of(name);
        if (pid != 0)
            add_if_there({.path = places.proc + "/" + name + "/ns/net", .pid = pid}, paths);
    }
    for (const std::string* directory : {&places.named, &places.sandboxes}) {
        for (const std::string& name : names_in(*directory))
            add_if_there({.path = *directory + "/" + name,
                          .name = name,
                          .sandbox = directory == &places.sandboxes},
                         paths);
    }
    return paths;
}

} // namespace vtrace
