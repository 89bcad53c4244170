// SPDX-License-Identifier: GPL-2.0-only
#include "collect/each_net_namespace.h"

#include "base/fd.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace vtrace {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const std::string& directory)
{
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
        names.push_back(at->path().filename());
    return names;
}

// One file for each.
std::vector<std::string> net_namespaces()
{
    std::vector<std::string> paths;
    std::set<ino_t> known;
    const auto add = [&](const std::string& path) {
        struct stat st = {};
        if (::stat(path.c_str(), &st) == 0 && known.insert(st.st_ino).second)
            paths.push_back(path);
    };
    for (const std::string& name : names_in("/proc")) {
        if (std::isdigit(static_cast<unsigned char>(name.front())) != 0)
            add("/proc/" + name + "/ns/net");
    }
    for (const char* directory : {"/run/netns", "/run/docker/netns"}) {
        for (const std::string& name : names_in(directory))
            add(std::string(directory) + "/" + name);
    }
    return paths;
}

} // namespace

size_t in_each_net_namespace(const std::function<void()>& run)
{
    size_t missed = 0;
    const auto walk = [&] {
        for (const std::string& path : net_namespaces()) {
            const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
            if (fd && ::setns(fd.get(), CLONE_NEWNET) == 0)
                run();
            else if (::access(path.c_str(), F_OK) == 0)
                missed++; // or its processes have ended meanwhile
        }
    };
    // The namespace of a thread is its own. There may be no room for one more.
    try {
        std::thread(walk).join();
    } catch (const std::system_error&) {
        missed++;
    }
    return missed;
}

} // namespace vtrace
