// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/container_records.h"
#include "entity/unix_http.h"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// Docker's containers: from the Engine API, else from the daemon's state files.
class DockerRecords {
public:
    DockerRecords(std::string socket, std::vector<std::string> roots);

    std::vector<ContainerRecord> all();
    std::optional<ContainerRecord> one(std::string_view id);

private:
    std::optional<HttpReply> get(const std::string& target);

    std::string socket_;
    std::vector<std::string> roots_;
    std::chrono::steady_clock::time_point silent_until_;
};

// The answer to GET /containers/json: those of its containers that are complete.
std::vector<ContainerRecord> parse_docker_list(std::string_view text);

// The answer to GET /containers/<id>/json, and config.v2.json, which is much the same.
std::optional<ContainerRecord> parse_docker_container(std::string_view text);

// Adds what a dockerd's command line (arguments end with zero bytes) says about its places.
void add_dockerd_arguments(std::string_view command_line, EnginePaths& paths);

// Adds the data-root of /etc/docker/daemon.json.
void add_docker_daemon_json(std::string_view text, EnginePaths& paths);

// The path of DOCKER_HOST=unix://PATH, else nothing.
std::string docker_host_socket(std::string_view docker_host);

} // namespace vtrace
