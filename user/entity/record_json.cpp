// SPDX-License-Identifier: GPL-2.0-only
#include "entity/record_json.h"

#include "base/fd.h"
#include "base/files.h"
#include "entity/container_records.h"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <utility>

namespace vtrace {
namespace {

// nlohmann's parser keeps its state on the heap, so deep nesting is harmless.
class Events : public nlohmann::json_sax<nlohmann::json> {
public:
    explicit Events(JsonVisitor& visitor) : visitor_(visitor) {}

    [[nodiscard]] bool stopped() const { return stopped_; }

    bool null() override { return true; }
    bool number_integer(number_integer_t /*value*/) override { return true; }
    bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
    bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return true; }
    bool binary(binary_t& /*value*/) override { return true; }
    bool boolean(bool value) override
    {
        std::string text = "true";
        return !value || string(text);
    }
    bool string(string_t& text) override
    {
        if (path_.depth() == 0 || path_.depth() > JsonPath::kDeepest)
            return true;
        visitor_.value(path_, text);
        return go_on();
    }
    bool key(string_t& key) override
    {
        path_.name(key);
        return true;
    }
    bool start_object(size_t /*elements*/) override
    {
        path_.push();
        return true;
    }
    bool end_object() override
    {
        path_.pop();
        if (path_.depth() > JsonPath::kDeepest)
            return true;
        visitor_.object_end(path_);
        return go_on();
    }
    bool start_array(size_t /*elements*/) override
    {
        path_.push();
        return true;
    }
    bool end_array() override
    {
        path_.pop();
        return true;
    }
    bool parse_error(size_t /*position*/, const std::string& /*token*/,
                     const nlohmann::detail::exception& /*error*/) override
    {
        return false;
    }

private:
    bool go_on()
    {
        stopped_ = visitor_.done();
        return !stopped_;
    }

    JsonVisitor& visitor_;
    JsonPath path_;
    bool stopped_ = false;
};

class OciVisitor : public JsonVisitor {
public:
    OciConfig config;

    void value(const JsonPath& path, std::string& text) override
    {
        if (path.is({"linux", "cgroupsPath"})) {
            config.cgroup = expand_cgroups_path(text);
            cgroup_ = true;
        } else if (path.is({"annotations", "*"})) {
            const std::string& key = path.last();
            if (key.starts_with("io.kubernetes.") || key.starts_with("nerdctl/"))
                config.annotations[key] = std::move(text);
        }
    }
    void object_end(const JsonPath& path) override
    {
        annotations_ = annotations_ || path.is({"annotations"});
        // A process is what makes it a configuration at all.
        process_ = process_ || path.is({"process"});
    }
    // Before the system calls of seccomp, which are most of the text.
    [[nodiscard]] bool done() const override { return cgroup_ && annotations_ && process_; }
    [[nodiscard]] bool usable() const { return process_ || annotations_; }

private:
    bool cgroup_ = false;
    bool annotations_ = false;
    bool process_ = false;
};

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

} // namespace

bool JsonPath::is(std::initializer_list<std::string_view> keys) const
{
    return depth_ == keys.size() && depth_ <= kDeepest &&
           std::equal(keys.begin(), keys.end(), keys_.begin(),
                      [](std::string_view wanted, const std::string& key) {
                          return wanted == "*" || wanted == key;
                      });
}

void JsonPath::push()
{
    if (depth_ < kDeepest)
        keys_[depth_].clear();
    depth_++;
}

void JsonPath::name(std::string& key)
{
    if (depth_ <= kDeepest)
        keys_[depth_ - 1].swap(key);
}

bool visit_json(std::string_view text, JsonVisitor& visitor)
{
    Events events(visitor);
    return nlohmann::json::sax_parse(text.begin(), text.end(), &events) || events.stopped();
}

std::optional<OciConfig> parse_oci_config(std::string_view text)
{
    OciVisitor visitor;
    if (!visit_json(text, visitor) || !visitor.usable())
        return std::nullopt;
    return std::move(visitor.config);
}

std::string expand_slice(std::string_view slice)
{
    constexpr std::string_view kSuffix = ".slice";
    if (slice == "-.slice")
        return "/";
    if (!slice.ends_with(kSuffix) || slice.find('/') != std::string_view::npos)
        return "";
    const std::string_view stem = slice.substr(0, slice.size() - kSuffix.size());
    if (stem.empty() || stem.front() == '-' || stem.back() == '-' ||
        stem.find("--") != std::string_view::npos)
        return "";
    std::string path;
    for (size_t dash = stem.find('-'); dash != std::string_view::npos;
         dash = stem.find('-', dash + 1))
        path.append("/").append(stem.substr(0, dash)).append(kSuffix);
    return path.append("/").append(slice);
}

std::string expand_cgroups_path(std::string_view path)
{
    if (path.starts_with('/'))
        return std::string(path);
    const size_t first = path.find(':');
    const size_t second = first == std::string_view::npos ? first : path.find(':', first + 1);
    // A relative path is below the runtime's own cgroup, which the record does not say.
    if (second == std::string_view::npos || path.find(':', second + 1) != std::string_view::npos)
        return "";
    const std::string_view prefix = path.substr(first + 1, second - first - 1);
    const std::string_view name = path.substr(second + 1);
    std::string parent = expand_slice(first == 0 ? "system.slice" : path.substr(0, first));
    if (parent.empty() || name.empty() || path.find('/') != std::string_view::npos)
        return "";
    if (parent == "/")
        parent.clear();
    if (name.ends_with(".slice"))
        return parent.append("/").append(name);
    parent.append("/").append(prefix);
    if (!prefix.empty())
        parent += '-';
    return parent.append(name).append(".scope");
}

std::string take(Labels& labels, const char* key)
{
    const auto found = labels.find(key);
    return found == labels.end() ? "" : std::move(found->second);
}

bool take_kubernetes_labels(Labels& labels, ContainerRecord& record)
{
    std::string pod = take(labels, "io.kubernetes.pod.name");
    if (pod.empty())
        return false;
    record.pod_name = std::move(pod);
    record.pod_namespace = take(labels, "io.kubernetes.pod.namespace");
    record.pod_uid = take(labels, "io.kubernetes.pod.uid");
    return true;
}

bool is_safe_id(std::string_view id)
{
    constexpr size_t kLongest = 255; // a file name
    return !id.empty() && id.size() <= kLongest && id.front() != '.' && id.front() != '-' &&
           std::ranges::all_of(
               id, [](char c) { return is_alnum(c) || c == '_' || c == '-' || c == '.'; });
}

bool is_hex_id(std::string_view id)
{
    constexpr size_t kLength = 64;
    return id.size() == kLength &&
           std::ranges::all_of(id, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

std::optional<std::string> read_record_file(const std::string& path, size_t most)
{
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat st = {};
    if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode) ||
        static_cast<size_t>(st.st_size) > most)
        return std::nullopt;
    // Not by its size, which /proc does not tell: a link may lead there, to what has no end or never comes.
    std::string content;
    std::array<char, 32768> block{};
    while (content.size() <= most) {
        const ssize_t got = ::read(fd.get(), block.data(), block.size());
        if (got == 0)
            return content;
        if (got < 0 && errno != EINTR)
            return std::nullopt;
        if (got > 0)
            content.append(block.data(), static_cast<size_t>(got));
    }
    return std::nullopt;
}

std::vector<std::string> safe_names_in(const std::string& directory)
{
    std::vector<std::string> names;
    std::error_code error;
    std::filesystem::directory_iterator entries(directory, error);
    for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
        std::string name = entries->path().filename().string();
        if (is_safe_id(name))
            names.push_back(std::move(name));
    }
    std::ranges::sort(names);
    return names;
}

} // namespace vtrace
