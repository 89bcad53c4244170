// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_meaning.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace vtrace {
namespace {

constexpr size_t kContainerId = 64; // hex digits

bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool is_container_id(std::string_view text)
{
    return text.size() == kContainerId && std::ranges::all_of(text, is_hex);
}

// What is between the two, if the text has both and something between them.
std::optional<std::string_view> between(std::string_view text, std::string_view prefix,
                                        std::string_view suffix)
{
    if (!text.starts_with(prefix) || !text.ends_with(suffix) ||
        text.size() <= prefix.size() + suffix.size())
        return std::nullopt;
    return text.substr(prefix.size(), text.size() - prefix.size() - suffix.size());
}

// A pod's uid: a UUID, with _ for - in the name of a slice. Of a static pod the 32 digits of a hash.
std::optional<std::string> pod_uid(std::string_view text)
{
    constexpr size_t kUuid = 36;
    constexpr size_t kHash = 32;
    std::string uid(text);
    std::ranges::replace(uid, '_', '-');
    const bool digits = std::ranges::all_of(uid, [](char c) { return is_hex(c) || c == '-'; });
    if (!digits || (uid.size() != kUuid && uid.size() != kHash))
        return std::nullopt;
    return uid;
}

struct Prefix {
    std::string_view text;
    std::string_view engine;
};

constexpr std::array kPrefixes = {
    Prefix{"docker-", "docker"},
    Prefix{"libpod-", "podman"},
    Prefix{"cri-containerd-", "containerd"},
    Prefix{"crio-", "cri-o"},
};

std::optional<CgroupMeaning> prefixed_container(std::string_view name)
{
    for (const Prefix& prefix : kPrefixes) {
        for (const std::string_view suffix : {".scope", ""}) {
            const auto id = between(name, prefix.text, suffix);
            if (id && is_container_id(*id))
                return CgroupMeaning{.kind = "container",
                                     .engine = std::string(prefix.engine),
                                     .id = std::string(*id)};
        }
    }
    return std::nullopt;
}

// The stem of a slice of the kubelet's, that of a --cgroup-root in front of it (kind has "kubelet-").
bool is_of_kubelet(std::string_view stem)
{
    constexpr std::array<std::string_view, 3> kSlices = {"kubepods", "kubepods-burstable",
                                                         "kubepods-besteffort"};
    return std::ranges::any_of(kSlices, [&](std::string_view slice) {
        return stem == slice ||
               (stem.ends_with(slice) && stem[stem.size() - slice.size() - 1] == '-');
    });
}

// kubepods-burstable-pod<uid>.slice below systemd, pod<uid> below kubepods or its classes without it.
std::optional<std::string> kubernetes_pod(std::string_view parent, std::string_view name)
{
    constexpr std::array<std::string_view, 3> kParents = {"kubepods", "burstable", "besteffort"};
    if (const auto slice = between(name, "", ".slice")) {
        constexpr std::string_view kPod = "-pod";
        const size_t at = slice->rfind(kPod);
        if (at == std::string_view::npos || !is_of_kubelet(slice->substr(0, at)))
            return std::nullopt;
        return pod_uid(slice->substr(at + kPod.size()));
    }
    const auto uid = between(name, "pod", "");
    return uid && std::ranges::find(kParents, parent) != kParents.end() ? pod_uid(*uid)
                                                                        : std::nullopt;
}

// <parent>-libpod_pod_<id>.slice below systemd, where the parent is machine or user; without it
// libpod_parent/<id>, and libpod_pod_<id> of old. The pod's name is only in Podman's database.
std::optional<std::string> podman_pod(std::string_view parent, std::string_view name)
{
    constexpr std::string_view kPod = "libpod_pod_";
    if (parent == "libpod_parent" && is_container_id(name))
        return std::string(name);
    const std::string_view stem = between(name, "", ".slice").value_or(name);
    const size_t at = stem.rfind(kPod);
    if (at == std::string_view::npos || (at != 0 && stem[at - 1] != '-'))
        return std::nullopt;
    const std::string_view id = stem.substr(at + kPod.size());
    return is_container_id(id) ? std::optional(std::string(id)) : std::nullopt;
}

} // namespace

std::optional<CgroupMeaning> container_or_pod(std::string_view parent, std::string_view name)
{
    if (auto found = prefixed_container(name))
        return found;
    if (is_container_id(name)) {
        if (parent == "docker")
            return CgroupMeaning{.kind = "container", .engine = "docker", .id = std::string(name)};
        if (kubernetes_pod("kubepods", parent))
            return CgroupMeaning{.kind = "container", .id = std::string(name)};
    }
    if (const auto lxc = between(name, "lxc.payload.", ""))
        return CgroupMeaning{.kind = "container", .engine = "lxc", .name = std::string(*lxc)};
    if (parent == "lxc" || parent == "lxc.payload")
        return CgroupMeaning{.kind = "container", .engine = "lxc", .name = std::string(name)};
    if (const auto uid = kubernetes_pod(parent, name))
        return CgroupMeaning{.kind = "pod", .id = *uid};
    if (const auto id = podman_pod(parent, name))
        return CgroupMeaning{.kind = "pod", .engine = "podman", .id = *id};
    return std::nullopt;
}

std::optional<CgroupMeaning> unit(std::string_view name)
{
    constexpr std::array<std::string_view, 6> kSuffixes = {".service", ".scope", ".slice",
                                                           ".socket",  ".mount", ".swap"};
    for (const std::string_view suffix : kSuffixes) {
        if (between(name, "", suffix))
            return CgroupMeaning{.kind = "unit", .name = unescape_unit(name)};
    }
    return std::nullopt;
}

std::string unescape_unit(std::string_view name)
{
    constexpr int kHexadecimal = 16;
    std::string text;
    while (!name.empty()) {
        unsigned value = 0;
        if (name.size() >= 4 && name.starts_with("\\x")) {
            const char* end = name.data() + 4;
            const auto read = std::from_chars(name.data() + 2, end, value, kHexadecimal);
            if (read.ec == std::errc{} && read.ptr == end && value != 0) {
                text += static_cast<char>(value);
                name.remove_prefix(4);
                continue;
            }
        }
        text += name.front();
        name.remove_prefix(1);
    }
    return text;
}

} // namespace vtrace
