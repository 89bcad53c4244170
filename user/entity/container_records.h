// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// What an engine has on record of one container; raw bytes.
struct ContainerRecord {
    std::string id; // the engine's: mostly 64 hex digits
    std::string
        name; // as the user gave it (Docker's without the leading '/'); of a sandbox: the pod's
    std::string image;  // empty if the engine keeps that elsewhere (containerd outside Kubernetes)
    std::string engine; // "docker", "podman", "containerd", "cri-o"
    std::string source; // where it was read: "docker API", "docker files", "podman files", …
    std::string cgroup; // its cgroup path as the record says, empty if it does not
    std::string pod_name; // of Kubernetes (or of a Podman pod); empty if none
    std::string pod_namespace;
    std::string pod_uid;
    bool sandbox = false; // the pod's own infrastructure container (pause)

    bool operator==(const ContainerRecord&) const = default;
};

// Where engines keep their state; tests point it at a fixture tree.
struct EnginePaths {
    std::string docker_socket; // "": none
    std::vector<std::string> docker_roots;
    std::vector<std::string> storage_roots; // containers/storage: graph roots …
    std::vector<std::string> storage_runs;  // … and run roots
    std::string containerd_run;
};

// This host's: the defaults, and what DOCKER_HOST, daemon.json and running dockerd processes say.
EnginePaths engine_paths();

// A line for each place that is there, that we may not read, and that nothing else stands in for.
std::vector<std::string> record_problems(const EnginePaths& paths);

// The containers that engines have on record. What is known stays until it is forgotten, so that
// containers that have ended keep their names. Nothing fails: what cannot be read is absent.
class ContainerRecords {
public:
    explicit ContainerRecords(EnginePaths paths);
    ContainerRecords(const ContainerRecords&) = delete;
    ContainerRecords& operator=(const ContainerRecords&) = delete;
    ContainerRecords(ContainerRecords&&) noexcept;
    ContainerRecords& operator=(ContainerRecords&&) noexcept;
    ~ContainerRecords();

    // Reads all that is there now: one call to Docker, or its files, and the files of the others.
    void load();

    // From memory, else asks the engines for this one id; who is not found is not asked for again
    // for a second. Of several with this id (containerd's namespaces) it is the first. Null if
    // nobody knows it. Valid until load() or forget().
    const ContainerRecord* find(std::string_view id);

    // From memory only. Valid until load() or forget().
    [[nodiscard]] const ContainerRecord* known(std::string_view id) const;
    // Whose record names the cgroup; or whose id of 64 digits it is called.
    [[nodiscard]] const ContainerRecord* find_by_cgroup(std::string_view cgroup_path) const;

    void forget(std::string_view id);

    // Why names may be missing, a line each; as it was at the start.
    [[nodiscard]] const std::vector<std::string>& problems() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace vtrace
