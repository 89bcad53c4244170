// SPDX-License-Identifier: GPL-2.0-only
#include "entity/docker_records.h"

#include "base/files.h"
#include "entity/record_json.h"

#include <algorithm>

namespace vtrace {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr milliseconds kPatience{200};     // with the API, for one answer
constexpr seconds kSilence{5};             // after an API that did not answer
constexpr size_t kMostAnswer = 64UL << 20; // 2 kB for each container
constexpr size_t kMostConfig = 4UL << 20;

// The name is the one without a further '/': the others are aliases that links gave.
std::string user_given(std::vector<std::string>& names)
{
    for (std::string& name : names) {
        if (name.starts_with('/'))
            name.erase(0, 1);
        if (!name.empty() && name.find('/') == std::string::npos)
            return std::move(name);
    }
    return names.empty() ? "" : std::move(names.front());
}

// What the kubelet's dockershim and cri-dockerd put into labels.
void finish(ContainerRecord& record, Labels& labels)
{
    record.engine = "docker";
    if (!take_kubernetes_labels(labels, record))
        return;
    record.sandbox = take(labels, "io.kubernetes.docker.type") == "podsandbox";
    std::string name =
        record.sandbox ? record.pod_name : take(labels, "io.kubernetes.container.name");
    if (!name.empty())
        record.name = std::move(name);
}

void take_label(const JsonPath& path, std::string& text, Labels& labels)
{
    if (path.last().starts_with("io.kubernetes."))
        labels[path.last()] = std::move(text);
}

class ListVisitor : public JsonVisitor {
public:
    std::vector<ContainerRecord> records;

    void value(const JsonPath& path, std::string& text) override
    {
        if (path.is({"", "Id"}))
            record_.id = std::move(text);
        else if (path.is({"", "Image"}))
            record_.image = std::move(text);
        else if (path.is({"", "Names", ""}))
            names_.push_back(std::move(text));
        else if (path.is({"", "Labels", "*"}))
            take_label(path, text, labels_);
    }
    void object_end(const JsonPath& path) override
    {
        if (!path.is({""}))
            return;
        record_.name = user_given(names_);
        finish(record_, labels_);
        if (is_hex_id(record_.id))
            records.push_back(std::move(record_));
        record_ = {};
        names_.clear();
        labels_.clear();
    }

private:
    ContainerRecord record_;
    std::vector<std::string> names_;
    Labels labels_;
};

class ContainerVisitor : public JsonVisitor {
public:
    ContainerRecord record;

    void value(const JsonPath& path, std::string& text) override
    {
        if (path.is({"Id"}) || path.is({"ID"}))
            record.id = std::move(text);
        else if (path.is({"Name"}))
            record.name = std::move(text);
        else if (path.is({"Config", "Image"}))
            record.image = std::move(text);
        else if (path.is({"Config", "Labels", "*"}))
            take_label(path, text, labels_);
        else if (path.is({"HostConfig", "CgroupParent"}))
            parent_ = std::move(text);
    }
    void complete()
    {
        if (record.name.starts_with('/'))
            record.name.erase(0, 1);
        finish(record, labels_);
        // With systemd the parent is a slice, and without a parent the driver decides.
        if (parent_.starts_with('/'))
            record.cgroup = parent_ + (parent_.ends_with('/') ? "" : "/") + record.id;
        else if (parent_.ends_with(".slice"))
            record.cgroup = expand_cgroups_path(parent_ + ":docker:" + record.id);
    }

private:
    Labels labels_;
    std::string parent_;
};

class DaemonVisitor : public JsonVisitor {
public:
    std::string data_root;

    void value(const JsonPath& path, std::string& text) override
    {
        if (path.is({"data-root"}) || path.is({"graph"}))
            data_root = std::move(text);
    }
};

void add_root(std::string_view root, EnginePaths& paths)
{
    if (root.starts_with('/') &&
        std::ranges::find(paths.docker_roots, root) == paths.docker_roots.end())
        paths.docker_roots.emplace_back(root);
}

} // namespace

std::vector<ContainerRecord> parse_docker_list(std::string_view text)
{
    ListVisitor visitor;
    visit_json(text, visitor);
    return std::move(visitor.records);
}

std::optional<ContainerRecord> parse_docker_container(std::string_view text)
{
    ContainerVisitor visitor;
    if (!visit_json(text, visitor) || !is_hex_id(visitor.record.id))
        return std::nullopt;
    visitor.complete();
    return std::move(visitor.record);
}

std::string docker_host_socket(std::string_view docker_host)
{
    constexpr std::string_view kScheme = "unix://";
    if (!docker_host.starts_with(kScheme))
        return "";
    docker_host.remove_prefix(kScheme.size());
    return docker_host.starts_with('/') ? std::string(docker_host) : "";
}

void add_dockerd_arguments(std::string_view command_line, EnginePaths& paths)
{
    const auto arguments = split(command_line, '\0');
    for (size_t i = 1; i < arguments.size(); i++) {
        const size_t equals = arguments[i].find('=');
        const std::string_view option = arguments[i].substr(0, equals);
        std::string_view value;
        if (equals != std::string_view::npos)
            value = arguments[i].substr(equals + 1);
        else if (i + 1 < arguments.size())
            value = arguments[i + 1];
        if (option == "--data-root" || option == "--graph" || option == "-g")
            add_root(value, paths);
        if ((option == "--host" || option == "-H") && paths.docker_socket.empty())
            paths.docker_socket = docker_host_socket(value);
    }
}

void add_docker_daemon_json(std::string_view text, EnginePaths& paths)
{
    DaemonVisitor visitor;
    if (visit_json(text, visitor))
        add_root(visitor.data_root, paths);
}

DockerRecords::DockerRecords(std::string socket, std::vector<std::string> roots)
    : socket_(std::move(socket)), roots_(std::move(roots))
{
}

std::optional<HttpReply> DockerRecords::get(const std::string& target)
{
    if (socket_.empty() || steady_clock::now() < silent_until_)
        return std::nullopt;
    HttpAnswer answer = http_get(socket_, target, kPatience, kMostAnswer);
    // Nobody there costs nothing, and may come any time. Who is silent costs each time.
    if (answer.connected && !answer.reply)
        silent_until_ = steady_clock::now() + kSilence;
    return std::move(answer.reply);
}

namespace {

constexpr int kHttpOk = 200;

// Podman offers the same API, often at the same place.
bool is_podman(const HttpReply& reply)
{
    return reply.server.starts_with("Libpod");
}

void from_api(ContainerRecord& record, bool podman)
{
    record.source = podman ? "podman API" : "docker API";
    if (podman)
        record.engine = "podman";
}

std::optional<ContainerRecord> from_file(const std::string& root, const std::string& id)
{
    const auto text = read_record_file(root + "/containers/" + id + "/config.v2.json", kMostConfig);
    auto record = text ? parse_docker_container(*text) : std::nullopt;
    if (!record || record->id != id)
        return std::nullopt;
    record->source = "docker files";
    return record;
}

} // namespace

std::vector<ContainerRecord> DockerRecords::all()
{
    if (const auto reply = get("/containers/json"); reply && reply->status == kHttpOk) {
        auto records = parse_docker_list(reply->body);
        for (ContainerRecord& record : records)
            from_api(record, is_podman(*reply));
        return records;
    }
    std::vector<ContainerRecord> records;
    for (const std::string& root : roots_) {
        for (const std::string& id : safe_names_in(root + "/containers")) {
            if (auto record = is_hex_id(id) ? from_file(root, id) : std::nullopt)
                records.push_back(std::move(*record));
        }
    }
    return records;
}

std::optional<ContainerRecord> DockerRecords::one(std::string_view id)
{
    if (!is_hex_id(id)) // Docker would take it for a name
        return std::nullopt;
    const std::string safe(id);
    if (const auto reply = get("/containers/" + safe + "/json");
        reply && reply->status == kHttpOk) {
        auto record = parse_docker_container(reply->body);
        if (record && record->id == id) {
            from_api(*record, is_podman(*reply));
            return record;
        }
    }
    // Another daemon than the one that answers may have it.
    for (const std::string& root : roots_) {
        if (auto record = from_file(root, safe))
            return record;
    }
    return std::nullopt;
}

} // namespace vtrace
