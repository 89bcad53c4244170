// SPDX-License-Identifier: GPL-2.0-only
#include "entity/cgroup_meaning.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace vtrace {
namespace {

const std::string kId = "4f5e0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7";
const std::string kUid = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const std::string kUidInSlice = "0a1b2c3d_4e5f_6071_8293_a4b5c6d7e8f9";

struct Case {
    std::string parent;
    std::string name;
    CgroupMeaning meaning; // kind is empty: nothing
};

CgroupMeaning container(const std::string& engine)
{
    return {.kind = "container", .engine = engine, .id = kId};
}

CgroupMeaning pod(const std::string& uid)
{
    return {.kind = "pod", .id = uid};
}

TEST(ContainerOrPod, KnowsTheConventions)
{
    const std::string hash(32, 'a');
    const std::string lxc = "web 1";
    const CgroupMeaning lxc_container = {.kind = "container", .engine = "lxc", .name = lxc};
    const CgroupMeaning podman_pod = {.kind = "pod", .engine = "podman", .id = kId};
    for (const Case& c : {
             Case{"docker", kId, container("docker")},
             Case{"system.slice", "docker-" + kId + ".scope", container("docker")},
             Case{"libpod_parent", "libpod-" + kId, container("podman")},
             Case{"user.slice", "libpod-" + kId + ".scope", container("podman")},
             Case{"pod" + kUid, kId, container("")},
             Case{"pod" + kUid, "crio-" + kId, container("cri-o")},
             Case{"kubepods-besteffort-pod" + kUidInSlice + ".slice",
                  "cri-containerd-" + kId + ".scope", container("containerd")},
             Case{"kubepods-pod" + kUidInSlice + ".slice", "crio-" + kId + ".scope",
                  container("cri-o")},
             Case{"kubepods-pod" + kUidInSlice + ".slice", "docker-" + kId + ".scope",
                  container("docker")},
             Case{"kubepods", "pod" + kUid, pod(kUid)},
             Case{"burstable", "pod" + kUid, pod(kUid)},
             Case{"besteffort", "pod" + hash, pod(hash)},
             Case{"kubepods.slice", "kubepods-pod" + kUidInSlice + ".slice", pod(kUid)},
             Case{"kubepods-burstable.slice", "kubepods-burstable-pod" + kUidInSlice + ".slice",
                  pod(kUid)},
             Case{"kubepods-burstable.slice", "kubepods-burstable-pod" + hash + ".slice",
                  pod(hash)},
             // kind: the kubelet's --cgroup-root is /kubelet.
             Case{"kubelet-kubepods.slice", "kubelet-kubepods-pod" + kUidInSlice + ".slice",
                  pod(kUid)},
             Case{"kubelet-kubepods-burstable.slice",
                  "kubelet-kubepods-burstable-pod" + kUidInSlice + ".slice", pod(kUid)},
             Case{"a-b-kubepods-besteffort.slice", "a-b-kubepods-besteffort-pod" + hash + ".slice",
                  pod(hash)},
             Case{"kubelet-kubepods-pod" + kUidInSlice + ".slice", kId, container("")},
             Case{"", "lxc.payload." + lxc, lxc_container},
             Case{"lxc.payload", lxc, lxc_container},
             Case{"lxc", lxc, lxc_container},
             Case{"machine.slice", "machine-libpod_pod_" + kId + ".slice", podman_pod},
             Case{"user.slice", "user-libpod_pod_" + kId + ".slice", podman_pod},
             Case{"libpod_parent", "libpod_pod_" + kId, podman_pod},
             Case{"libpod_parent", kId, podman_pod},
             Case{kId, "libpod-" + kId, container("podman")},
         })
        EXPECT_EQ(container_or_pod(c.parent, c.name), c.meaning) << c.parent << "/" << c.name;
}

// As LXC 6 and LXC 2 and 3, Incus and LXD make them: the whole path's components, the container's name.
// Incus puts the project in front; a name of LXC may have a '_' as well, so the two are not told apart.
TEST(ContainerOrPod, LxcAndIncus)
{
    using Path = std::vector<std::string>;
    for (const auto& [path, name] : {
             std::pair{Path{"lxc.payload.web", "system.slice", "ssh.service"}, "web"}, // v2
             std::pair{Path{"lxc.payload.shop_web", ".lxc"}, "shop_web"},              // Incus, LXD
             std::pair{Path{"user.slice", "user-1000.slice", "lxc.payload.dev-1"}, "dev-1"},
             std::pair{Path{"lxc", "101", "ns", "init.scope"}, "101"}, // v1, and Proxmox
             std::pair{Path{"lxc.payload", "web", "user.slice"}, "web"},
             std::pair{Path{"lxc.monitor.web"}, ""},
             std::pair{Path{"lxc.monitor.shop_web"}, ""},
             std::pair{Path{"lxc.monitor", "web"}, ""},
         }) {
        std::vector<std::string> found;
        for (size_t i = 0; i < path.size(); i++) {
            const auto meaning = container_or_pod(i == 0 ? "" : path[i - 1], path[i]);
            if (meaning && meaning->kind == "container" && meaning->engine == "lxc")
                found.push_back(meaning->name);
        }
        const auto expected = *name == '\0' ? Path{} : Path{name};
        EXPECT_EQ(found, expected) << path.back();
    }
}

TEST(ContainerOrPod, NothingElseIsOne)
{
    const std::string upper = "A" + kId.substr(1);
    for (const Case& c : {
             Case{"", "", {}},
             Case{"", "docker", {}},
             Case{"", kId, {}},
             Case{"user", kId, {}},
             Case{"docker", kId.substr(1), {}},
             Case{"docker", kId + "0", {}},
             Case{"docker", upper, {}},
             Case{"system.slice", "docker-" + kId + ".service", {}},
             Case{"system.slice", "docker.service", {}},
             Case{"user.slice", "libpod-conmon-" + kId + ".scope", {}},
             Case{"pod" + kUid, "crio-conmon-" + kId, {}},
             Case{"", "lxc.payload.", {}},
             Case{"", "lxc.monitor.web", {}},
             Case{"lxc.monitor", "web", {}},
             Case{"", "lxc.pivot", {}},
             Case{"lxc.payload.web", "init.scope", {}},
             Case{"", "libpod_pod_" + kId.substr(1), {}},
             Case{"", "xlibpod_pod_" + kId, {}},
             Case{"libpod_parent", "conmon", {}},
             Case{"users", "pod" + kUid, {}},
             Case{"kubepods", "pod", {}},
             Case{"kubepods", "podcast", {}},
             Case{"", "kubepods.slice", {}},
             Case{"kubepods.slice", "kubepods-burstable.slice", {}},
             Case{"kubepods.slice", "kubepods-burstable-pod.slice", {}},
             Case{"", "xkubepods-pod" + kUidInSlice + ".slice", {}},
             Case{"", "kubepods-other-pod" + kUidInSlice + ".slice", {}},
             Case{"", "-pod" + kUidInSlice + ".slice", {}},
         })
        EXPECT_EQ(container_or_pod(c.parent, c.name), std::nullopt) << c.parent << "/" << c.name;
}

TEST(Unit, GoesByItsSuffix)
{
    for (const char* name : {"nginx.service", "user@1000.service", "session-3.scope",
                             "system.slice", "a.socket", "home.mount", "dev-sda2.swap"})
        EXPECT_EQ(unit(name), (CgroupMeaning{.kind = "unit", .name = name}));
    for (const char* name : {"", "nginx", ".service", "a.timer", "service", "a.service.d"})
        EXPECT_EQ(unit(name), std::nullopt) << name;
}

TEST(Unit, NamesAreUnescaped)
{
    EXPECT_EQ(unit("machine-qemu\\x2d1\\x2dweb.scope")->name, "machine-qemu-1-web.scope");
    EXPECT_EQ(unescape_unit("a\\x20b\\xc3\\xa4"), "a b\xc3\xa4");
    for (const char* same : {"", "\\", "\\x", "\\x2", "\\xzz", "\\x-1", "\\x00", "a\\y2d"})
        EXPECT_EQ(unescape_unit(same), same);
}

} // namespace
} // namespace vtrace
