// SPDX-License-Identifier: GPL-2.0-only
#include "demo/demo_cgroup.h"

#include "base/fd.h"
#include "base/files.h"
#include "base/numbers.h"
#include "entity/cgroup_hierarchy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <limits>
#include <system_error>
#include <thread>

namespace vtrace {
namespace {

constexpr std::string_view kPrefix = "vtrace-demo-";
constexpr std::string_view kProcs = "/cgroup.procs";
constexpr std::string_view kSubtree = "/cgroup.subtree_control";

Error not_possible(std::string what)
{
    Error error = errno_error(std::move(what),
                              "demos need root, and the cgroup controllers cpu, memory and io");
    error.exit = ExitCode::kNotPossible;
    return error;
}

Status write_to(const std::string& file, const std::string& value)
{
    const Fd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd || ::write(fd.get(), value.data(), value.size()) < 0)
        return not_possible("cannot write " + value + " to " + file);
    return ok();
}

// As v2 calls it.
std::string_view v2_name(std::string_view controller)
{
    return controller == kBlockController ? "io" : controller;
}

bool names(const std::string& file, std::string_view controller)
{
    const auto text = read_file(file);
    if (!text)
        return false;
    const auto all = split(trimmed(*text), ' ');
    return std::ranges::find(all, controller) != all.end();
}

std::vector<std::string> directories_in(const std::string& path)
{
    std::vector<std::string> found;
    std::error_code error;
    for (std::filesystem::directory_iterator at(path, error), end; !error && at != end;
         at.increment(error)) {
        if (at->is_directory(error))
            found.push_back(at->path().filename());
    }
    return found;
}

void kill_in(const std::string& cgroup)
{
    const auto text = read_file(cgroup + std::string(kProcs));
    if (!text)
        return;
    for (const std::string_view line : split(*text, '\n')) {
        // 0 is one that this process cannot name.
        if (const auto pid = whole_number(line); pid && *pid > 0)
            ::kill(static_cast<pid_t>(*pid), SIGKILL);
    }
}

// With those in it. A cgroup stays busy for a moment after its last process has gone.
void remove_cgroup(const std::string& cgroup)
{
    constexpr auto kEvery = std::chrono::milliseconds(5);
    constexpr int kTries = 400;
    for (int i = 0; i < kTries; i++) {
        kill_in(cgroup);
        if (::rmdir(cgroup.c_str()) == 0 || errno != EBUSY)
            return;
        std::this_thread::sleep_for(kEvery);
    }
}

// Of a vtrace that was killed: its processes died with it.
void remove_leftovers(const std::string& root)
{
    for (const std::string& name : directories_in(root)) {
        const int pid = demo_pid(name);
        const bool gone = pid > 0 && (pid == ::getpid() || (::kill(pid, 0) != 0 && errno == ESRCH));
        if (!gone)
            continue;
        const std::string outer = fmt::format("{}/{}", root, name);
        for (const std::string& inner : directories_in(outer))
            ::rmdir(fmt::format("{}/{}", outer, inner).c_str());
        ::rmdir(outer.c_str());
    }
}

} // namespace

std::vector<CgroupSetting> cpu_settings(bool v1, double cpus)
{
    constexpr int kPeriodUs = 100'000;
    const int quota = static_cast<int>(cpus * kPeriodUs);
    if (!v1)
        return {{kCpuController, "cpu.max", fmt::format("{} {}", quota, kPeriodUs)}};
    return {{kCpuController, "cpu.cfs_period_us", std::to_string(kPeriodUs)},
            {kCpuController, "cpu.cfs_quota_us", std::to_string(quota)}};
}

std::vector<CgroupSetting> memory_settings(bool v1, uint64_t bytes)
{
    return {
        {kMemoryController, v1 ? "memory.limit_in_bytes" : "memory.max", std::to_string(bytes)}};
}

std::vector<CgroupSetting> read_settings(bool v1, std::string_view disk, uint64_t bytes_per_second)
{
    if (v1)
        return {{kBlockController, "blkio.throttle.read_bps_device",
                 fmt::format("{} {}", disk, bytes_per_second)}};
    return {{kBlockController, "io.max", fmt::format("{} rbps={}", disk, bytes_per_second)}};
}

int demo_pid(std::string_view cgroup_name)
{
    if (!cgroup_name.starts_with(kPrefix))
        return 0;
    const auto pid = whole_number(cgroup_name.substr(kPrefix.size()));
    return pid && *pid <= std::numeric_limits<int>::max() ? static_cast<int>(*pid) : 0;
}

Result<DemoCgroups> DemoCgroups::create()
{
    std::vector<Tree> trees;
    for (const std::string_view controller :
         {kCpuController, kMemoryController, kBlockController, kOnlyV2}) {
        const auto found = hierarchy_of(controller);
        if (!found && controller != kOnlyV2)
            return found.error();
        if (!found)
            continue;
        auto tree = std::ranges::find(trees, found->mount_point, &Tree::root);
        if (tree == trees.end())
            tree = trees.insert(trees.end(), {.root = found->mount_point, .v1 = found->v1});
        if (controller != kOnlyV2)
            tree->controllers.emplace_back(controller);
    }
    DemoCgroups made(std::string(kPrefix) + std::to_string(::getpid()));
    for (Tree& tree : trees) {
        remove_leftovers(tree.root);
        if (auto outer = made.make_outer(std::move(tree)); !outer)
            return outer.error();
    }
    return made;
}

Status DemoCgroups::make_outer(Tree tree)
{
    const std::string outer = tree.root + path();
    if (::mkdir(outer.c_str(), 0755) != 0)
        return not_possible("cannot make the cgroup " + outer);
    Tree& kept = trees_.emplace_back(std::move(tree));
    if (kept.v1)
        return ok();
    // What cannot be enabled is missed where a limit is set.
    for (const std::string& controller : kept.controllers) {
        const std::string name(v2_name(controller));
        const std::string control = kept.root + std::string(kSubtree);
        if (!names(kept.root + "/cgroup.controllers", name))
            continue;
        if (!names(control, name) && write_to(control, "+" + name))
            kept.enabled.push_back(name);
        static_cast<void>(write_to(outer + std::string(kSubtree), "+" + name));
    }
    return ok();
}

DemoCgroups::~DemoCgroups()
{
    for (const Tree& tree : trees_) {
        const std::string outer = tree.root + path();
        for (const std::string& name : inner_)
            remove_cgroup(fmt::format("{}/{}", outer, name));
        remove_cgroup(outer);
        // The kernel refuses (EBUSY) where another cgroup hands it on meanwhile, as that of another demo.
        for (const std::string& controller : tree.enabled)
            static_cast<void>(write_to(tree.root + std::string(kSubtree), "-" + controller));
    }
}

Status DemoCgroups::add(const std::string& name, const DemoLimits& limits)
{
    inner_.push_back(name);
    for (const Tree& tree : trees_) {
        const std::string inner = tree.root + path() + "/" + name;
        if (::mkdir(inner.c_str(), 0755) != 0)
            return not_possible("cannot make the cgroup " + inner);
    }
    const auto v1 = [&](std::string_view controller) {
        const Tree* tree = tree_of(controller);
        return tree != nullptr && tree->v1;
    };
    std::vector<CgroupSetting> settings;
    const auto want = [&](const std::vector<CgroupSetting>& more) {
        settings.insert(settings.end(), more.begin(), more.end());
    };
    if (limits.cpus)
        want(cpu_settings(v1(kCpuController), *limits.cpus));
    if (limits.memory)
        want(memory_settings(v1(kMemoryController), *limits.memory));
    if (limits.reads)
        want(read_settings(v1(kBlockController), limits.disk, *limits.reads));
    for (const CgroupSetting& setting : settings) {
        if (auto done = set(name, setting); !done)
            return done;
    }
    return ok();
}

Status DemoCgroups::enter(const std::string& name) const
{
    for (const Tree& tree : trees_) {
        const std::string procs = tree.root + path() + "/" + name + std::string(kProcs);
        if (auto moved = write_to(procs, "0"); !moved)
            return moved;
    }
    return ok();
}

const DemoCgroups::Tree* DemoCgroups::tree_of(std::string_view controller) const
{
    const auto found = std::ranges::find_if(trees_, [&](const Tree& tree) {
        return std::ranges::find(tree.controllers, controller) != tree.controllers.end();
    });
    return found == trees_.end() ? nullptr : &*found;
}

Status DemoCgroups::set(const std::string& name, const CgroupSetting& setting) const
{
    const Tree* tree = tree_of(setting.controller);
    if (tree == nullptr)
        return Error{.what =
                         fmt::format("the cgroup controller {} is not here", setting.controller),
                     .exit = ExitCode::kNotPossible};
    return write_to(tree->root + path() + "/" + name + "/" + setting.file, setting.value);
}

} // namespace vtrace
