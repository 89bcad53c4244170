// SPDX-License-Identifier: GPL-2.0-only
#include "entity/containerd_records.h"

#include "entity/record_json.h"

#include <utility>

namespace vtrace {
namespace {

constexpr size_t kMostConfig = 4UL << 20;

std::optional<ContainerRecord> read_bundle(const std::string& tasks, const std::string& space,
                                           const std::string& id)
{
    std::string path = tasks;
    path.append("/").append(space).append("/").append(id).append("/config.json");
    const auto text = read_record_file(path, kMostConfig);
    return text ? parse_containerd_config(*text, space, id) : std::nullopt;
}

} // namespace

std::optional<ContainerRecord> parse_containerd_config(std::string_view text,
                                                       const std::string& space,
                                                       const std::string& id)
{
    auto config = parse_oci_config(text);
    if (!config)
        return std::nullopt;
    ContainerRecord record{.id = id, .engine = "containerd", .source = "containerd files"};
    record.cgroup = std::move(config->cgroup);
    Labels& labels = config->annotations;
    const std::string type = take(labels, "io.kubernetes.cri.container-type");
    if (space == kDockerNamespace) {
        record.engine = "docker";
    } else if (!type.empty()) {
        record.sandbox = type == "sandbox";
        record.pod_name = take(labels, "io.kubernetes.cri.sandbox-name");
        record.pod_namespace = take(labels, "io.kubernetes.cri.sandbox-namespace");
        record.pod_uid = take(labels, "io.kubernetes.cri.sandbox-uid");
        record.image = take(labels, "io.kubernetes.cri.image-name");
        record.name =
            record.sandbox ? record.pod_name : take(labels, "io.kubernetes.cri.container-name");
    } else {
        // Who talks to containerd directly names by the id; nerdctl has names of its own.
        record.name = take(labels, "nerdctl/name");
        if (record.name.empty())
            record.name = id;
    }
    return record;
}

std::string ContainerdRecords::tasks() const
{
    return run_ + "/io.containerd.runtime.v2.task";
}

std::vector<ContainerRecord> ContainerdRecords::all() const
{
    std::vector<ContainerRecord> records;
    if (run_.empty())
        return records;
    for (const std::string& space : safe_names_in(tasks())) {
        for (const std::string& id : safe_names_in(tasks() + "/" + space)) {
            if (auto record = read_bundle(tasks(), space, id))
                records.push_back(std::move(*record));
        }
    }
    return records;
}

std::vector<ContainerRecord> ContainerdRecords::with_id(const std::string& id) const
{
    std::vector<ContainerRecord> records;
    if (run_.empty() || !is_safe_id(id))
        return records;
    for (const std::string& space : safe_names_in(tasks())) {
        if (auto record = read_bundle(tasks(), space, id))
            records.push_back(std::move(*record));
    }
    return records;
}

} // namespace vtrace
