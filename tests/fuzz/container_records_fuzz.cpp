// SPDX-License-Identifier: GPL-2.0-only
// What engines keep on record: the same text for each of the readers.
#include "entity/containerd_records.h"
#include "entity/docker_records.h"
#include "entity/podman_records.h"
#include "entity/record_json.h"
#include "require.h"

#include <cstddef>
#include <cstdint>

namespace {

// JSON may say a byte in six, never in less than one.
void check(const vtrace::ContainerRecord& record, std::string_view text)
{
    using vtrace::fuzz::require;
    require(vtrace::is_safe_id(record.id), "an id is safe", record.id);
    require(record.name.size() <= text.size(), "a name is in the text", record.name);
    require(record.image.size() <= text.size(), "an image is in the text", record.image);
    require(record.pod_name.size() <= text.size(), "a pod is in the text", record.pod_name);
    require(record.cgroup.empty() || record.cgroup.starts_with('/'), "a cgroup is a path",
            record.cgroup);
    require(record.pod_uid.empty() || !record.engine.empty(), "a record is an engine's");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace vtrace;
    const std::string_view text(reinterpret_cast<const char*>(data), size);

    for (const ContainerRecord& record : parse_docker_list(text))
        check(record, text);
    if (const auto record = parse_docker_container(text))
        check(*record, text);
    for (const StorageContainer& container : parse_storage_containers(text))
        check(container.record, text);
    for (const char* space : {"k8s.io", "default", "moby"}) {
        if (const auto record = parse_containerd_config(text, space, "id"))
            check(*record, text);
    }

    EnginePaths paths;
    add_docker_daemon_json(text, paths);
    add_dockerd_arguments(text, paths);
    for (const std::string& root : paths.docker_roots)
        fuzz::require(root.starts_with('/'), "a root is a path", root);
    const std::string cgroup = expand_cgroups_path(text);
    fuzz::require(cgroup.empty() || cgroup.starts_with('/'), "a cgroup is a path", cgroup);
    return 0;
}
