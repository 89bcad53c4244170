// SPDX-License-Identifier: GPL-2.0-only
#include "entity/entity_finder.h"

#include "fake_daemon.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

namespace vtrace {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::FakeDaemon;
using test::send_all;
using test::TempDir;
using testing::IsEmpty;
using testing::SizeIs;

std::string id_of(int number)
{
    char id[65] = {};
    std::snprintf(id, sizeof(id), "%064x", number);
    return id;
}

class EntityFinderTest : public testing::Test {
protected:
    EntityFinderTest()
    {
        tree.made(1, 0, "");
        tree.made(2, 1, "docker");
    }

    // The fact of a kind about a cgroup.
    static EntityFact fact(const EntityFinder& finder, uint64_t cgroup, const std::string& kind)
    {
        for (const EntityFact& each : finder.facts()) {
            if (each.cgroup_id == cgroup && each.kind == kind)
                return each;
        }
        ADD_FAILURE() << "no " << kind << " in cgroup " << cgroup;
        return {};
    }

    // A bundle of containerd, in a pod.
    void put_on_record(const std::string& id) const
    {
        const std::string bundle = "io.containerd.runtime.v2.task/k8s.io/" + id;
        EXPECT_NE(dir.mkdir(bundle), 0u);
        dir.write(bundle + "/config.json",
                  R"({"process":{},"annotations":{"io.kubernetes.cri.container-type":"container",)"
                  R"("io.kubernetes.cri.container-name":"nginx",)"
                  R"("io.kubernetes.cri.sandbox-name":"web","io.kubernetes.cri.sandbox-uid":")" +
                      kUid + R"(","io.kubernetes.cri.sandbox-namespace":"shop"}})");
    }

    const std::string kUid = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
    TempDir dir;
    CgroupTree tree;
    EntityFinder::Clock::time_point now = EntityFinder::Clock::now();
};

TEST_F(EntityFinderTest, APodIsNamedByItsContainersRecord)
{
    EntityFinder finder{ContainerRecords({.containerd_run = dir.path()})};
    tree.made(3, 1, "kubelet-kubepods-pod0a1b2c3d_4e5f_6071_8293_a4b5c6d7e8f9.slice");
    tree.made(4, 3, "cri-containerd-" + id_of(1) + ".scope");
    finder.update(tree, now);
    EXPECT_EQ(fact(finder, 3, "pod").name, kUid.substr(0, 12));
    EXPECT_EQ(fact(finder, 3, "pod").source, "cgroup");
    put_on_record(id_of(1));
    std::this_thread::sleep_for(milliseconds(1100)); // a miss stays for a second
    finder.update(tree, now);
    EXPECT_EQ(fact(finder, 4, "container").name, "nginx");
    EXPECT_EQ(fact(finder, 3, "pod").name, "shop/web");
    EXPECT_EQ(fact(finder, 3, "pod").source, "containerd files");
    finder.forget(4);
    EXPECT_EQ(fact(finder, 3, "pod").name, "shop/web") << "while it is there";
    finder.forget(3);
    EXPECT_THAT(finder.facts(), IsEmpty());
}

// Of one without a pod's cgroup above it nobody would forget the pod's name.
TEST_F(EntityFinderTest, ForgottenContainersLeaveNoNamesOfPods)
{
    put_on_record(id_of(1));
    EntityFinder finder{ContainerRecords({.containerd_run = dir.path()})};
    tree.made(3, 2, id_of(1));
    finder.update(tree, now);
    EXPECT_EQ(fact(finder, 3, "container").name, "nginx");
    finder.forget(3);
    tree.forget(3);
    tree.made(4, 1, "kubepods");
    tree.made(5, 4, "pod" + kUid);
    finder.update(tree, now);
    EXPECT_EQ(fact(finder, 5, "pod").name, kUid.substr(0, 12));
}

std::string reply(const std::string& status, const std::string& body)
{
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}

TEST_F(EntityFinderTest, ThoseWhomNobodyKnowsDoNotKeepOthersWaiting)
{
    const FakeDaemon daemon(dir.path() + "/s", [](int fd, const std::string& request) {
        std::this_thread::sleep_for(milliseconds(5));
        if (request.find(id_of(9999)) != std::string::npos)
            send_all(fd, reply("200 OK", R"({"Id":")" + id_of(9999) + R"(","Name":"/late"})"));
        else
            send_all(fd, reply("404 Not Found", "{}"));
    });
    EntityFinder finder{ContainerRecords({.docker_socket = daemon.path()})};
    constexpr int kUnknown = 100;
    for (int i = 0; i < kUnknown; i++)
        tree.made(static_cast<uint64_t>(100 + i), 2, id_of(i));
    finder.update(tree, now);
    EXPECT_LT(daemon.asked(), kUnknown) << "no longer at a time than leaves room for all else";
    tree.made(3, 2, id_of(9999));
    for (int i = 0; i < 3; i++) // one is enough, unless the machine is busy
        finder.update(tree, now);
    EXPECT_EQ(fact(finder, 3, "container").name, "late");
    // And each of the others has its turn.
    for (int i = 0; i < 2 * kUnknown && daemon.asked() < kUnknown + 2; i++)
        finder.update(tree, now);
    EXPECT_GE(daemon.asked(), kUnknown + 2);
}

TEST_F(EntityFinderTest, WhoHasEndedUnknownIsSoonAskedForNoMore)
{
    const FakeDaemon daemon(dir.path() + "/s", [](int fd, const std::string& /*request*/) {
        send_all(fd, reply("404 Not Found", "{}"));
    });
    EntityFinder finder{ContainerRecords({.docker_socket = daemon.path()})};
    tree.made(3, 2, id_of(3));
    tree.removed(4, 2, id_of(4));
    finder.update(tree, now);
    EXPECT_EQ(daemon.asked(), 3) << "for all, and for each of the two";
    finder.update(tree, now + seconds(3));
    std::this_thread::sleep_for(milliseconds(1100)); // a miss stays for a second
    finder.update(tree, now + seconds(4));
    EXPECT_EQ(daemon.asked(), 4) << "only for the one that is there";
    finder.update(tree, now + seconds(60));
    std::this_thread::sleep_for(milliseconds(1100));
    finder.update(tree, now + seconds(61));
    EXPECT_EQ(daemon.asked(), 4) << "for nobody any more";
    EXPECT_THAT(finder.facts(), SizeIs(2)) << "they have what their cgroups say";
}

TEST_F(EntityFinderTest, DockersBelowAnyParentAreFoundByTheirIds)
{
    const FakeDaemon daemon(dir.path() + "/s", [](int fd, const std::string& request) {
        // The list does not say where they are, and what one says is of the daemon's own point of view.
        if (request.starts_with("GET /containers/json "))
            send_all(fd, reply("200 OK", R"([{"Id":")" + id_of(5) + R"(","Names":["/web"]}])"));
        else
            send_all(fd, reply("200 OK", R"({"Id":")" + id_of(6) +
                                             R"(","Name":"/late","HostConfig":)"
                                             R"({"CgroupParent":"/inner"}})"));
    });
    EntityFinder finder{ContainerRecords({.docker_socket = daemon.path()})};
    tree.made(3, 1, "ecs");
    tree.made(4, 3, "task");
    tree.made(5, 4, id_of(5));
    finder.update(tree, now);
    EXPECT_EQ(fact(finder, 5, "container").name, "web");
    EXPECT_EQ(fact(finder, 5, "container").id, id_of(5));
    tree.made(6, 4, id_of(6));
    tree.made(7, 4, "not-an-id");
    finder.update(tree, now);
    EXPECT_EQ(fact(finder, 6, "container").name, "late");
    EXPECT_THAT(finder.facts(), SizeIs(2));
}

TEST_F(EntityFinderTest, NothingIsDenied)
{
    EXPECT_THAT(EntityFinder{ContainerRecords(EnginePaths{})}.problems(), IsEmpty());
}

} // namespace
} // namespace vtrace
