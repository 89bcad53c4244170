// SPDX-License-Identifier: GPL-2.0-only
// What the readers of engines' records share: JSON read without building it, ids, cgroup paths.
#pragma once

#include <array>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vtrace {

struct ContainerRecord;

// The keys that lead to a value; an array adds an empty key.
class JsonPath {
public:
    static constexpr size_t kDeepest = 3; // values that are deeper are passed over

    // True if these are the keys; "*" stands for any.
    [[nodiscard]] bool is(std::initializer_list<std::string_view> keys) const;
    [[nodiscard]] const std::string& last() const { return keys_[depth_ - 1]; }

    [[nodiscard]] size_t depth() const { return depth_; }
    void push();
    void pop() { depth_--; }
    void name(std::string& key);

private:
    std::array<std::string, kDeepest> keys_;
    size_t depth_ = 0;
};

class JsonVisitor {
public:
    JsonVisitor() = default;
    JsonVisitor(const JsonVisitor&) = delete;
    JsonVisitor& operator=(const JsonVisitor&) = delete;
    virtual ~JsonVisitor() = default;

    // A string, or "true" for true; all other values are passed over. The text may be moved from.
    virtual void value(const JsonPath& path, std::string& text) = 0;
    // The object at this path is complete.
    virtual void object_end(const JsonPath& /*path*/) {}
    // Asked after each value and object: true if the rest of the text does not matter.
    [[nodiscard]] virtual bool done() const { return false; }
};

// True if the text was JSON up to its end, or to where the visitor was done.
bool visit_json(std::string_view text, JsonVisitor& visitor);

using Labels = std::unordered_map<std::string, std::string>;

// What matters of the configuration of an OCI runtime (config.json of a bundle).
struct OciConfig {
    std::string cgroup; // a path, from linux.cgroupsPath; empty if that names none
    Labels annotations;
};
std::optional<OciConfig> parse_oci_config(std::string_view text);

// Where runc puts the cgroup for linux.cgroupsPath: a path, or slice:prefix:name for systemd.
std::string expand_cgroups_path(std::string_view path);

// The same for a slice alone: a-b.slice is /a.slice/a-b.slice. Empty if it is none.
std::string expand_slice(std::string_view slice);

// The kubelet's labels, the same in all engines. True if there is the name of a pod.
bool take_kubernetes_labels(Labels& labels, ContainerRecord& record);

// The value, moved out; empty if there is none.
std::string take(Labels& labels, const char* key);

// An id that may be part of a path and of a URL: letters, digits, '_', '-', '.', no '.' in front.
bool is_safe_id(std::string_view id);
// 64 hex digits.
bool is_hex_id(std::string_view id);

// The content of a regular file of at most this size, else nothing. Never waits (for a FIFO).
std::optional<std::string> read_record_file(const std::string& path, size_t most);

// Names in a directory that are safe ids, sorted; none if it cannot be read.
std::vector<std::string> safe_names_in(const std::string& directory);

} // namespace vtrace
