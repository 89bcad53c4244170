// SPDX-License-Identifier: GPL-2.0-only
#include "entity/container_records.h"

#include "base/files.h"
#include "entity/containerd_records.h"
#include "entity/docker_records.h"
#include "entity/podman_records.h"
#include "entity/record_json.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <list>
#include <map>
#include <utility>

namespace vtrace {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kMissStays{1};
constexpr size_t kMostMisses = 4096;

// Whether to believe what a process says of paths: root's, in our view of the file systems.
bool is_of_this_host(const std::string& pid)
{
    struct stat process = {};
    struct stat its_mounts = {};
    struct stat our_mounts = {};
    return ::stat(("/proc/" + pid).c_str(), &process) == 0 && process.st_uid == 0 &&
           ::stat(("/proc/" + pid + "/ns/mnt").c_str(), &its_mounts) == 0 &&
           ::stat("/proc/self/ns/mnt", &our_mounts) == 0 && its_mounts.st_ino == our_mounts.st_ino;
}

void ask_dockerds(EnginePaths& paths)
{
    for (const std::string& pid : safe_names_in("/proc")) {
        if (pid.find_first_not_of("0123456789") != std::string::npos)
            continue;
        const auto comm = read_file("/proc/" + pid + "/comm");
        if (!comm || *comm != "dockerd\n" || !is_of_this_host(pid))
            continue;
        if (const auto line = read_file("/proc/" + pid + "/cmdline"))
            add_dockerd_arguments(*line, paths);
    }
}

// As the kernel judges it for us; errno if not.
bool may(const std::string& path, int mode)
{
    return ::faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0;
}

bool is_denied(const std::string& path, int mode)
{
    return !path.empty() && !may(path, mode) && errno == EACCES;
}

} // namespace

EnginePaths engine_paths()
{
    EnginePaths paths{.docker_roots = {"/var/lib/docker"},
                      .storage_roots = {"/var/lib/containers/storage"},
                      .storage_runs = {"/run/containers/storage"},
                      .containerd_run = "/run/containerd"};
    constexpr const char* kSocket = "/run/docker.sock";
    if (const char* host = std::getenv("DOCKER_HOST"); host != nullptr && *host != '\0')
        paths.docker_socket = docker_host_socket(host);
    else if (::access(kSocket, F_OK) == 0)
        paths.docker_socket = kSocket;
    ask_dockerds(paths);
    if (paths.docker_socket.empty())
        paths.docker_socket = kSocket; // a daemon may start later
    constexpr size_t kMostConfig = 1UL << 20;
    if (const auto text = read_record_file("/etc/docker/daemon.json", kMostConfig))
        add_docker_daemon_json(*text, paths);
    // K3s and RKE2 bring a containerd of their own.
    constexpr const char* kK3s = "/run/k3s/containerd";
    if (::access(paths.containerd_run.c_str(), F_OK) != 0 && ::access(kK3s, F_OK) == 0)
        paths.containerd_run = kK3s;
    return paths;
}

std::vector<std::string> record_problems(const EnginePaths& paths)
{
    std::vector<std::string> problems;
    const auto check = [&](const std::string& place, const std::string& inside, int mode) {
        if (is_denied(place + inside, mode))
            problems.push_back("no permission for " + place +
                               ": names of its containers may be missing");
    };
    // Docker's files say what its API would.
    const bool docker_files = std::ranges::any_of(paths.docker_roots, [](const std::string& root) {
        return may(root + "/containers", R_OK | X_OK);
    });
    if (!docker_files && !may(paths.docker_socket, R_OK | W_OK)) {
        check(paths.docker_socket, "", R_OK | W_OK);
        for (const std::string& root : paths.docker_roots)
            check(root, "/containers", R_OK | X_OK);
    }
    for (const auto* places : {&paths.storage_roots, &paths.storage_runs}) {
        for (const std::string& place : *places)
            check(place, "", R_OK | X_OK);
    }
    if (!paths.containerd_run.empty())
        check(paths.containerd_run, "/io.containerd.runtime.v2.task", R_OK | X_OK);
    return problems;
}

struct ContainerRecords::State {
    explicit State(EnginePaths paths)
        : problems(record_problems(paths)),
          docker(std::move(paths.docker_socket), std::move(paths.docker_roots)),
          podman(std::move(paths.storage_roots), std::move(paths.storage_runs)),
          containerd(std::move(paths.containerd_run))
    {
    }

    void add(ContainerRecord record);
    void add_all(std::vector<ContainerRecord> found);
    void index(ContainerRecord& record);
    void unindex(const ContainerRecord& record);
    [[nodiscard]] ContainerRecord* by_id_of(std::string_view id);
    // Of Docker's containers containerd knows the cgroup, which Docker's list does not say.
    void add_of_containerd(std::vector<ContainerRecord> found);
    void ask(const std::string& id);

    std::vector<std::string> problems;
    DockerRecords docker;
    PodmanRecords podman;
    ContainerdRecords containerd;

    using Place = std::list<ContainerRecord>::iterator; // records stay where they are

    std::list<ContainerRecord> records;
    std::multimap<std::string, Place, std::less<>> by_id;
    std::map<std::string, ContainerRecord*, std::less<>> by_cgroup;
    std::map<std::string, steady_clock::time_point, std::less<>> misses; // until when
    steady_clock::time_point misses_tidied;
};

void ContainerRecords::State::index(ContainerRecord& record)
{
    if (!record.cgroup.empty())
        by_cgroup.insert_or_assign(record.cgroup, &record);
}

void ContainerRecords::State::unindex(const ContainerRecord& record)
{
    const auto found = by_cgroup.find(record.cgroup);
    if (found != by_cgroup.end() && found->second == &record)
        by_cgroup.erase(found);
}

ContainerRecord* ContainerRecords::State::by_id_of(std::string_view id)
{
    const auto found = by_id.lower_bound(id); // the first that was added
    return found == by_id.end() || found->first != id ? nullptr : &*found->second;
}

void ContainerRecords::State::add(ContainerRecord record)
{
    const auto [first, last] = by_id.equal_range(record.id);
    for (auto known = first; known != last; ++known) {
        ContainerRecord& old = *known->second;
        // An id of containerd is unique only within its namespace.
        if (old.engine != record.engine ||
            (record.engine == "containerd" && old.cgroup != record.cgroup))
            continue;
        unindex(old);
        if (record.cgroup.empty())
            record.cgroup = std::move(old.cgroup);
        old = std::move(record);
        index(old);
        return;
    }
    const auto added = records.insert(records.end(), std::move(record));
    by_id.emplace(added->id, added);
    index(*added);
}

void ContainerRecords::State::add_all(std::vector<ContainerRecord> found)
{
    for (ContainerRecord& record : found)
        add(std::move(record));
}

void ContainerRecords::State::add_of_containerd(std::vector<ContainerRecord> found)
{
    for (ContainerRecord& record : found) {
        if (record.engine != "docker") {
            add(std::move(record));
            continue;
        }
        ContainerRecord* docker_has = by_id_of(record.id);
        if (docker_has == nullptr || docker_has->engine != "docker" || record.cgroup.empty())
            continue;
        unindex(*docker_has);
        docker_has->cgroup = std::move(record.cgroup);
        index(*docker_has);
    }
}

void ContainerRecords::State::ask(const std::string& id)
{
    if (is_hex_id(id)) {
        auto record = docker.one(id);
        if (!record)
            record = podman.one(id);
        if (record)
            add(std::move(*record));
    }
    add_of_containerd(containerd.with_id(id));
}

ContainerRecords::ContainerRecords(EnginePaths paths)
    : state_(std::make_unique<State>(std::move(paths)))
{
}

ContainerRecords::ContainerRecords(ContainerRecords&&) noexcept = default;
ContainerRecords& ContainerRecords::operator=(ContainerRecords&&) noexcept = default;
ContainerRecords::~ContainerRecords() = default;

void ContainerRecords::load()
{
    state_->misses.clear();
    state_->add_all(state_->docker.all());
    state_->add_all(state_->podman.all());
    state_->add_of_containerd(state_->containerd.all());
}

const ContainerRecord* ContainerRecords::find(std::string_view id)
{
    if (const ContainerRecord* known = state_->by_id_of(id))
        return known;
    if (!is_safe_id(id))
        return nullptr;
    const auto now = steady_clock::now();
    const auto miss = state_->misses.find(id);
    if (miss != state_->misses.end() && now < miss->second)
        return nullptr;
    const std::string wanted(id);
    state_->ask(wanted);
    if (const ContainerRecord* found = state_->by_id_of(id)) {
        state_->misses.erase(wanted);
        return found;
    }
    if (now >= state_->misses_tidied + kMissStays) {
        std::erase_if(state_->misses, [&](const auto& entry) { return entry.second <= now; });
        state_->misses_tidied = now;
    }
    if (state_->misses.size() < kMostMisses)
        state_->misses[wanted] = steady_clock::now() + kMissStays;
    return nullptr;
}

const std::vector<std::string>& ContainerRecords::problems() const
{
    return state_->problems;
}

const ContainerRecord* ContainerRecords::known(std::string_view id) const
{
    return state_->by_id_of(id);
}

const ContainerRecord* ContainerRecords::find_by_cgroup(std::string_view cgroup_path) const
{
    const auto found = state_->by_cgroup.find(cgroup_path);
    if (found != state_->by_cgroup.end())
        return found->second;
    // Docker's list does not name cgroups; below a --cgroup-parent they are called by the id.
    const std::string_view name = cgroup_path.substr(cgroup_path.rfind('/') + 1);
    return is_hex_id(name) ? state_->by_id_of(name) : nullptr;
}

void ContainerRecords::forget(std::string_view id)
{
    const auto [first, last] = state_->by_id.equal_range(id);
    for (auto entry = first; entry != last; ++entry) {
        state_->unindex(*entry->second);
        state_->records.erase(entry->second);
    }
    state_->by_id.erase(first, last);
}

} // namespace vtrace
