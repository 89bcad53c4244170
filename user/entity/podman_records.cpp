// SPDX-License-Identifier: GPL-2.0-only
#include "entity/podman_records.h"

#include "base/files.h"
#include "entity/record_json.h"

#include <sys/stat.h>

#include <array>
#include <utility>

namespace vtrace {
namespace {

using std::chrono::steady_clock;

constexpr size_t kMostList = 64UL << 20; // 600 bytes for each container
constexpr size_t kMostConfig = 4UL << 20;
constexpr std::string_view kSuffix = "-containers";
// Between two readings, times what the last one took: that of 2,000 containers takes 10 ms, and every one that
// comes or goes changes it.
constexpr int kRest = 50;

// CRI-O's names of pods: k8s_<name>_<namespace>_<uid>_<attempt>. None of the parts can have a '_'.
void take_pod_name(std::string_view text, ContainerRecord& record)
{
    const auto parts = split(text, '_');
    if (parts.size() != 5 || parts[0] != "k8s")
        return;
    record.pod_name = parts[1];
    record.pod_namespace = parts[2];
    record.pod_uid = parts[3];
}

// What Podman and CRI-O write as a text into the entry's `metadata`.
class MetadataVisitor : public JsonVisitor {
public:
    explicit MetadataVisitor(StorageContainer& container) : container_(container) {}

    void value(const JsonPath& path, std::string& text) override
    {
        ContainerRecord& record = container_.record;
        if (path.is({"image-name"}))
            record.image = std::move(text);
        else if (path.is({"name"}))
            record.name = std::move(text);
        else if (path.is({"metadata-name"}))
            given_name_ = std::move(text);
        else if (path.is({"pod-id"}))
            container_.pod_id = std::move(text);
        else if (path.is({"pod-name"}))
            pod_name_ = std::move(text);
        else if (path.is({"namespace"}))
            space_ = std::move(text);
        else if (path.is({"uid"}))
            uid_ = std::move(text);
    }
    void complete()
    {
        ContainerRecord& record = container_.record;
        if (container_.pod_id.empty() && pod_name_.empty()) {
            record.engine = "podman";
            record.source = "podman files";
            return;
        }
        record.engine = "cri-o";
        record.source = "cri-o files";
        record.sandbox = container_.pod_id == record.id;
        if (!given_name_.empty())
            record.name = std::move(given_name_);
        take_pod_name(pod_name_, record);
        if (record.sandbox && !record.name.empty())
            record.pod_name = record.name;
        if (!space_.empty())
            record.pod_namespace = std::move(space_);
        if (!uid_.empty())
            record.pod_uid = std::move(uid_);
    }

private:
    StorageContainer& container_;
    std::string given_name_;
    std::string pod_name_;
    std::string space_;
    std::string uid_;
};

class ListVisitor : public JsonVisitor {
public:
    std::vector<StorageContainer> containers;

    void value(const JsonPath& path, std::string& text) override
    {
        if (path.is({"", "id"}))
            id_ = std::move(text);
        else if (path.is({"", "image"}))
            image_ = std::move(text);
        else if (path.is({"", "metadata"}))
            metadata_ = std::move(text);
        else if (path.is({"", "names", ""}) && name_.empty())
            name_ = std::move(text);
    }
    void object_end(const JsonPath& path) override
    {
        if (!path.is({""}))
            return;
        StorageContainer container;
        container.record.id = std::move(id_);
        MetadataVisitor metadata(container);
        // Without a name in the metadata it is of another user of containers/storage.
        if (is_hex_id(container.record.id) && visit_json(metadata_, metadata) &&
            !container.record.name.empty()) {
            // Podman's rename changes only the names.
            if (container.pod_id.empty() && !name_.empty())
                container.record.name = std::move(name_);
            if (container.record.image.empty())
                container.record.image = std::move(image_);
            metadata.complete();
            containers.push_back(std::move(container));
        }
        id_.clear();
        image_.clear();
        metadata_.clear();
        name_.clear();
    }

private:
    std::string id_;
    std::string image_;
    std::string metadata_;
    std::string name_;
};

void fill(std::string& field, std::string value)
{
    if (field.empty())
        field = std::move(value);
}

// Podman calls a pod's own container <12 digits of the pod's id>-infra; the pod's id is in the cgroup.
bool is_podman_infra(const ContainerRecord& record)
{
    constexpr std::string_view kInfra = "-infra";
    constexpr size_t kDigits = 12;
    return record.name.size() == kDigits + kInfra.size() && record.name.ends_with(kInfra) &&
           record.cgroup.find(record.name.substr(0, kDigits)) != std::string::npos;
}

// <driver>-containers of <root>/<driver>-containers/<file>.
std::string driver_of(const std::string& path)
{
    const size_t end = path.rfind('/');
    const size_t start = path.rfind('/', end - 1) + 1;
    return path.substr(start, end - start);
}

} // namespace

std::vector<StorageContainer> parse_storage_containers(std::string_view text)
{
    ListVisitor visitor;
    visit_json(text, visitor);
    return std::move(visitor.containers);
}

bool PodmanRecords::File::same_as(const File& other) const
{
    return inode == other.inode && size == other.size && seconds == other.seconds &&
           nanoseconds == other.nanoseconds;
}

PodmanRecords::PodmanRecords(std::vector<std::string> roots, std::vector<std::string> runs)
    : roots_(std::move(roots)), runs_(std::move(runs))
{
}

// Reads the lists that have changed: each miss comes by here.
void PodmanRecords::refresh()
{
    const auto start = steady_clock::now();
    std::unordered_map<std::string, File> now;
    for (const auto* places : {&roots_, &runs_}) {
        for (const std::string& place : *places) {
            for (const std::string& driver : safe_names_in(place)) {
                if (!driver.ends_with(kSuffix))
                    continue;
                // Volatile ones need not survive a reboot: CRI-O's, and those of `podman run --rm`.
                for (const char* name : {"/containers.json", "/volatile-containers.json"}) {
                    std::string path = place;
                    path.append("/").append(driver).append(name);
                    if (auto file = read_if_changed(path))
                        now.emplace(std::move(path), std::move(*file));
                }
            }
        }
    }
    files_ = std::move(now);
    const auto end = steady_clock::now();
    rest_until_ = end + kRest * (end - start);
}

std::optional<PodmanRecords::File> PodmanRecords::read_if_changed(const std::string& path)
{
    struct stat st = {};
    if (::stat(path.c_str(), &st) != 0)
        return std::nullopt;
    File file = {.inode = st.st_ino,
                 .size = st.st_size,
                 .seconds = st.st_mtim.tv_sec,
                 .nanoseconds = st.st_mtim.tv_nsec};
    const auto known = files_.find(path);
    if (known != files_.end() && known->second.same_as(file))
        return std::move(known->second);
    if (const auto text = read_record_file(path, kMostList)) {
        for (StorageContainer& container : parse_storage_containers(*text)) {
            const std::string id = container.record.id;
            file.containers.insert_or_assign(id, std::move(container));
        }
    }
    return file;
}

const StorageContainer* PodmanRecords::sandbox(const std::string& id) const
{
    for (const auto& [path, file] : files_) {
        const auto found = file.containers.find(id);
        if (found != file.containers.end() && found->second.record.sandbox)
            return &found->second;
    }
    return nullptr;
}

ContainerRecord PodmanRecords::complete(const StorageContainer& container,
                                        const std::string& driver) const
{
    ContainerRecord record = container.record;
    if (const StorageContainer* pod = sandbox(container.pod_id)) {
        record.pod_name = pod->record.pod_name;
        record.pod_namespace = pod->record.pod_namespace;
        record.pod_uid = pod->record.pod_uid;
    }
    const std::string inside = "/" + driver + "/" + record.id + "/userdata/config.json";
    for (const auto* places : {&runs_, &roots_}) {
        for (const std::string& place : *places) {
            const auto text = read_record_file(place + inside, kMostConfig);
            auto config = text ? parse_oci_config(*text) : std::nullopt;
            if (!config)
                continue;
            record.cgroup = std::move(config->cgroup);
            if (record.engine == "podman") {
                record.sandbox = is_podman_infra(record);
                return record;
            }
            Labels& labels = config->annotations;
            ContainerRecord said;
            take_kubernetes_labels(labels, said);
            fill(record.pod_name, std::move(said.pod_name));
            fill(record.pod_namespace, std::move(said.pod_namespace));
            fill(record.pod_uid, std::move(said.pod_uid));
            fill(record.image, take(labels, "io.kubernetes.cri-o.ImageName"));
            record.sandbox =
                record.sandbox || take(labels, "io.kubernetes.cri-o.ContainerType") == "sandbox";
            return record;
        }
    }
    return record;
}

std::vector<ContainerRecord> PodmanRecords::all()
{
    refresh();
    std::vector<ContainerRecord> records;
    for (const auto& [path, file] : files_) {
        for (const auto& [id, container] : file.containers)
            records.push_back(complete(container, driver_of(path)));
    }
    return records;
}

std::optional<ContainerRecord> PodmanRecords::one(const std::string& id)
{
    if (steady_clock::now() >= rest_until_)
        refresh();
    for (const auto& [path, file] : files_) {
        const auto found = file.containers.find(id);
        if (found != file.containers.end())
            return complete(found->second, driver_of(path));
    }
    return std::nullopt;
}

} // namespace vtrace
