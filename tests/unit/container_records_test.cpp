// SPDX-License-Identifier: GPL-2.0-only
#include "entity/container_records.h"

#include "entity/containerd_records.h"
#include "entity/docker_records.h"
#include "entity/podman_records.h"
#include "entity/record_json.h"
#include "fake_daemon.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

namespace vtrace {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using test::FakeDaemon;
using test::fixture;
using test::send_all;
using test::TempDir;
using testing::AllOf;
using testing::Field;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

const std::string kWeb = "c88a385b1b1feb8375f509175cb29e7c32474766d3529e849401710ff01ae7c9";
const std::string kParent = "5e0b2e0dc0b0cb1014da8e323312b90a555d1eb878b9652d3b32cddb671b83d8";
const std::string kKubernetes = "c14f088b4deed27b0c5854d2ab45a454e1fc0dec2958f768642f56982baafd2b";
const std::string kStopped = "fcd1d9212b8a1bd073718390d78714e5dcc825408667f65b9e41f844f7299b85";
const std::string kPodLess = "5dfa282bac4abac7058d23e3c6a9926f13a9d4852c364427d1ae723d2c93dc9d";
const std::string kInfra = "5cc26f5e30bfc21dd6c8019b8870d958298f83ec48e086b09f6993df0d75f265";
const std::string kCart = "11140186d405417271dd493af953be7c5b11dbc375cccd7c2aa257bfb5e14e1e";
const std::string kPod = "349b42845ddcb608fd153074b97ae5fe528db8062686f46f25f883f40e739268";

// 64 hex digits from two.
std::string hex_id(const std::string& two)
{
    std::string id;
    while (id.size() < 64)
        id += two;
    return id;
}

std::string engines(const std::string& place)
{
    return std::string(VTRACE_FIXTURES) + "/engines/" + place;
}

std::string http(const std::string& body, const std::string& status = "200 OK",
                 const std::string& server = "Docker/20.10.24+dfsg1 (linux)")
{
    return "HTTP/1.1 " + status + "\r\nApi-Version: 1.41\r\nServer: " + server +
           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// As Docker answers: the list in chunks, one container, or 404.
void answer_like_docker(int fd, const std::string& request)
{
    const auto asks = [&](const std::string& target) {
        return request.starts_with("GET " + target + " HTTP/1.1\r\n");
    };
    // Go's server takes no path of a socket for a host.
    const size_t host = request.find("\r\nHost: ");
    if (host == std::string::npos ||
        request.substr(host + 8, request.find("\r\n", host + 2) - host - 8).find('/') !=
            std::string::npos)
        return send_all(fd, http("malformed Host header", "400 Bad Request"));
    if (asks("/containers/json")) {
        const std::string list = fixture("engines/docker/api/list.json");
        char size[16] = {};
        std::snprintf(size, sizeof(size), "%zx", list.size());
        return send_all(fd, "HTTP/1.1 200 OK\r\nServer: Docker/20.10.24+dfsg1 (linux)\r\n"
                            "Transfer-Encoding: chunked\r\n\r\n" +
                                std::string(size) + "\r\n" + list + "\r\n0\r\n\r\n");
    }
    if (asks("/containers/" + kParent + "/json"))
        return send_all(fd, http(fixture("engines/docker/api/inspect_parent.json")));
    send_all(fd, http(R"({"message":"No such container"})", "404 Not Found"));
}

class ContainerRecordsTest : public testing::Test {
protected:
    [[nodiscard]] std::string socket() const { return dir.path() + "/docker.sock"; }

    TempDir dir;
    ContainerRecord web = {
        .id = kWeb, .name = "web-1", .image = "bb:1", .engine = "docker", .source = "docker files"};
};

const ContainerRecord* expect_found(ContainerRecords& records, const std::string& id)
{
    const ContainerRecord* record = records.find(id);
    EXPECT_NE(record, nullptr) << id;
    static const ContainerRecord kNone;
    return record == nullptr ? &kNone : record;
}

// The same of one that has just come: what was not there is not looked for at once.
const ContainerRecord* expect_found_soon(ContainerRecords& records, const std::string& id)
{
    const auto deadline = steady_clock::now() + std::chrono::seconds(60);
    while (records.find(id) == nullptr && steady_clock::now() < deadline)
        std::this_thread::sleep_for(milliseconds(50));
    return expect_found(records, id);
}

// ---- Docker

TEST_F(ContainerRecordsTest, DockerFiles)
{
    ContainerRecords records({.docker_roots = {engines("docker/root")}});
    records.load();
    EXPECT_EQ(*expect_found(records, kWeb), web);
    const ContainerRecord kubernetes = {.id = kKubernetes,
                                        .name = "shell",
                                        .image = "bb:1",
                                        .engine = "docker",
                                        .source = "docker files",
                                        .pod_name = "web-7d4b9c",
                                        .pod_namespace = "prod",
                                        .pod_uid = "0f6a5d3e-1b2c-4d5e-8f90-a1b2c3d4e5f6"};
    EXPECT_EQ(*expect_found(records, kKubernetes), kubernetes);
    EXPECT_EQ(expect_found(records, kStopped)->name, "stopped");
}

TEST_F(ContainerRecordsTest, OneOfDockersFilesWithoutLoad)
{
    ContainerRecords records({.docker_roots = {"/nowhere", engines("docker/root")}});
    EXPECT_EQ(*expect_found(records, kWeb), web);
    EXPECT_EQ(records.find(hex_id("ab")), nullptr);
}

TEST_F(ContainerRecordsTest, DockerApi)
{
    const FakeDaemon daemon(socket(), answer_like_docker);
    ContainerRecords records({.docker_socket = socket()});
    records.load();
    EXPECT_EQ(daemon.asked(), 1);
    web.source = "docker API";
    EXPECT_EQ(*expect_found(records, kWeb), web);
    EXPECT_EQ(expect_found(records, kKubernetes)->name, "shell");
    EXPECT_EQ(expect_found(records, kKubernetes)->pod_name, "web-7d4b9c");
    EXPECT_EQ(daemon.asked(), 1) << "what is in memory is not asked for";
    EXPECT_EQ(records.find(kStopped), nullptr) << "the list has those that run";
    EXPECT_EQ(daemon.asked(), 2);
}

TEST_F(ContainerRecordsTest, OneByDockerApi)
{
    const FakeDaemon daemon(socket(), answer_like_docker);
    ContainerRecords records({.docker_socket = socket()});
    const ContainerRecord* record = expect_found(records, kParent);
    EXPECT_EQ(record->name, "cgp");
    EXPECT_EQ(record->source, "docker API");
    EXPECT_EQ(record->cgroup, "/recs-slice/" + kParent); // as /proc/PID/cgroup said
    EXPECT_EQ(records.find_by_cgroup("/recs-slice/" + kParent), record);
}

TEST_F(ContainerRecordsTest, PodmanAnswersAsDocker)
{
    const FakeDaemon daemon(socket(), [](int fd, const std::string& /*request*/) {
        send_all(fd,
                 http(fixture("engines/docker/api/list.json"), "200 OK", "Libpod/4.3.1 (linux)"));
    });
    ContainerRecords records({.docker_socket = socket()});
    records.load();
    EXPECT_EQ(expect_found(records, kWeb)->engine, "podman");
    EXPECT_EQ(expect_found(records, kWeb)->source, "podman API");
}

TEST_F(ContainerRecordsTest, AMissingSocketMeansFiles)
{
    ContainerRecords records(
        {.docker_socket = dir.path() + "/none.sock", .docker_roots = {engines("docker/root")}});
    records.load();
    EXPECT_EQ(*expect_found(records, kWeb), web);
    // A daemon that comes later is asked.
    const FakeDaemon daemon(dir.path() + "/none.sock", answer_like_docker);
    records.load();
    EXPECT_EQ(daemon.asked(), 1);
    EXPECT_EQ(expect_found(records, kWeb)->source, "docker API");
}

TEST_F(ContainerRecordsTest, ASocketWithoutDaemonMeansFiles)
{
    {
        const FakeDaemon gone(socket(), answer_like_docker);
    }
    ContainerRecords records({.docker_socket = socket(), .docker_roots = {engines("docker/root")}});
    records.load();
    EXPECT_EQ(*expect_found(records, kWeb), web);
}

// The limit is 200 ms in all; what is over is for a machine under load.
constexpr milliseconds kSoon{1500};

TEST_F(ContainerRecordsTest, ASilentSocketMeansFilesAndSomeQuiet)
{
    FakeDaemon daemon(socket(), [](int /*fd*/, const std::string& /*request*/) {});
    daemon.hold = true;
    ContainerRecords records({.docker_socket = socket(), .docker_roots = {engines("docker/root")}});
    const auto start = steady_clock::now();
    records.load();
    EXPECT_LT(steady_clock::now() - start, kSoon);
    EXPECT_EQ(*expect_found(records, kWeb), web);
    EXPECT_EQ(daemon.asked(), 1);
    records.load();
    for (int i = 10; i < 60; i++)
        EXPECT_EQ(records.find(hex_id(std::to_string(i))), nullptr);
    EXPECT_EQ(daemon.asked(), 1) << "not asked again for some seconds";
}

TEST_F(ContainerRecordsTest, ASlowAnswerHasNoMoreTime)
{
    for (const std::string& drip : {std::string("x"), std::string("X: y\r\n")}) {
        const std::string path = dir.path() + "/slow" + std::to_string(drip.size());
        std::atomic<bool> over = false;
        const FakeDaemon daemon(path, [&](int fd, const std::string& /*request*/) {
            send_all(fd, "HTTP/1.1 200 OK\r\n");
            for (int i = 0; i < 300 && !over; i++) { // 6 s
                send_all(fd, drip);
                std::this_thread::sleep_for(milliseconds(20));
            }
        });
        ContainerRecords records({.docker_socket = path, .docker_roots = {engines("docker/root")}});
        const auto start = steady_clock::now();
        records.load();
        EXPECT_LT(steady_clock::now() - start, kSoon);
        over = true;
        EXPECT_EQ(*expect_found(records, kWeb), web);
        EXPECT_LE(daemon.asked(), 1);
    }
}

TEST_F(ContainerRecordsTest, NonsenseFromTheSocketMeansFiles)
{
    const std::string answers[] = {
        "",
        "\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 301 Moved\r\nLocation: http://example.invalid/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n[",
        "HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n[", // no memory is taken for it
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n[",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n[",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n[",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000\r\n[",
        "HTTP/1.1 200 OK\r\nX: " + std::string(1 << 20, 'x') + "\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n",
    };
    size_t number = 0;
    for (const std::string& answer : answers) {
        const std::string path = dir.path() + "/s" + std::to_string(number++);
        const FakeDaemon daemon(
            path, [&](int fd, const std::string& /*request*/) { send_all(fd, answer); });
        ContainerRecords records({.docker_socket = path, .docker_roots = {engines("docker/root")}});
        records.load();
        EXPECT_EQ(*expect_found(records, kWeb), web) << answer;
    }
}

// From a restart in the midst of an answer to the same container under the new daemon.
TEST_F(ContainerRecordsTest, ADaemonThatIsStartedAgainIsAskedAgain)
{
    ContainerRecords records({.docker_socket = socket()});
    {
        const FakeDaemon stopping(socket(), [](int fd, const std::string& /*request*/) {
            send_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n[{\"Id\":\"");
        });
        EXPECT_EQ(records.find(kParent), nullptr);
        EXPECT_EQ(stopping.asked(), 1);
    }
    EXPECT_EQ(records.find(hex_id("ab")), nullptr) << "nobody is there";
    const FakeDaemon again(socket(), answer_like_docker);
    EXPECT_EQ(expect_found_soon(records, kParent)->name, "cgp");
}

TEST_F(ContainerRecordsTest, ADaemonThatHangsUpKillsNobody)
{
    const FakeDaemon daemon(
        socket(), [](int fd, const std::string& /*request*/) { ::shutdown(fd, SHUT_RDWR); });
    ContainerRecords records({.docker_socket = socket()});
    records.load();
    EXPECT_EQ(records.find(kWeb), nullptr);
}

TEST(DockerRecords, UsesTheIdOnlyIfItIsOne)
{
    for (const char* id : {"web-1", "", "../../x", "c88a385b1b1f"})
        EXPECT_EQ(DockerRecords("", {engines("docker/root")}).one(id), std::nullopt) << id;
}

TEST(DockerRecords, TheNameIsNotTheAliasOfALink)
{
    const auto records =
        parse_docker_list(R"([{"Id":")" + kWeb + R"(","Names":["/app/db","/db"],"Image":"i"}])");
    ASSERT_THAT(records, SizeIs(1));
    EXPECT_EQ(records[0].name, "db");
}

TEST(DockerRecords, KeepsWhatIsCompleteOfAList)
{
    const std::string list = fixture("engines/docker/api/list.json");
    EXPECT_THAT(parse_docker_list(list), SizeIs(3));
    size_t before = 0;
    for (size_t length = 0; length <= list.size(); length++) {
        const size_t now = parse_docker_list(list.substr(0, length)).size();
        EXPECT_GE(now, before);
        before = now;
    }
    EXPECT_EQ(before, 3u);
}

TEST(DockerRecords, HalfAContainerIsNone)
{
    std::string text = fixture("engines/docker/root/containers/" + kWeb + "/config.v2.json");
    while (!text.ends_with('}'))
        text.pop_back();
    EXPECT_NE(parse_docker_container(text), std::nullopt);
    for (size_t length = 0; length < text.size(); length++)
        EXPECT_EQ(parse_docker_container(text.substr(0, length)), std::nullopt) << length;
}

TEST(DockerRecords, WrongTypesAreNoValues)
{
    EXPECT_EQ(parse_docker_container(R"({"Id":7,"Name":"/x"})"), std::nullopt);
    const auto record = parse_docker_container(
        R"({"Id":")" + kWeb +
        R"(","Name":["/x"],"Config":{"Image":{"a":"b"},"Labels":["io.kubernetes.pod.name"]},)"
        R"("HostConfig":"CgroupParent"})");
    ASSERT_TRUE(record);
    EXPECT_EQ(*record, (ContainerRecord{.id = kWeb, .engine = "docker"}));
    EXPECT_THAT(parse_docker_list(R"({"Id":")" + kWeb + R"("})"), IsEmpty());
    for (const char* text : {"", "null", "7", "\"x\"", "[]", "[[]]", "[null,7,\"x\",{}]", "{}"}) {
        EXPECT_THAT(parse_docker_list(text), IsEmpty()) << text;
        EXPECT_EQ(parse_docker_container(text), std::nullopt) << text;
    }
}

TEST(DockerRecords, NamesAreRawBytes)
{
    const auto record = parse_docker_container(
        R"({"Id":")" + kWeb +
        R"(","Name":"/a\"\n\u001b[31m\u202e/../ü\u0000","Config":{"Image":"../i"}})");
    ASSERT_TRUE(record);
    EXPECT_EQ(record->name, std::string("a\"\n\x1b[31m\xe2\x80\xae/../\xc3\xbc\0", 18));
    EXPECT_EQ(record->image, "../i");
    // Go writes none of this: an invalid sequence is U+FFFD in its JSON.
    EXPECT_EQ(parse_docker_container(R"({"Id":")" + kWeb + "\",\"Name\":\"/\xff\xfe\"}"),
              std::nullopt);
}

TEST(DockerRecords, LongLabels)
{
    const std::string value(4096, 'v');
    std::string labels = R"("io.kubernetes.pod.name":")" + value + "\"";
    for (int i = 0; i < 500; i++)
        labels += ",\"label" + std::to_string(i) + "\":\"" + value + "\"";
    const auto record = parse_docker_container(
        R"({"Id":")" + kWeb + R"(","Name":"/x","Config":{"Labels":{)" + labels + "}}}");
    ASSERT_TRUE(record);
    EXPECT_EQ(record->pod_name, value);
}

TEST(DockerRecords, DeepNesting)
{
    const std::string deep(2'000'000, '[');
    EXPECT_THAT(parse_docker_list(deep), IsEmpty());
    EXPECT_EQ(parse_docker_container(R"({"Id":")" + kWeb + R"(","Name":)" + deep), std::nullopt);
    std::string object;
    for (int i = 0; i < 100'000; i++)
        object += R"({"Id":)";
    EXPECT_THAT(parse_docker_list(object), IsEmpty());
    // What is complete around it counts.
    const std::string closed = std::string(100'000, '[') + std::string(100'000, ']');
    const auto record =
        parse_docker_container(R"({"State":)" + closed + R"(,"ID":")" + kWeb + R"(","Name":"/x"})");
    ASSERT_TRUE(record);
    EXPECT_EQ(record->name, "x");
}

TEST(DockerRecords, CgroupOfTheParent)
{
    const auto cgroup = [](const std::string& parent) {
        const auto record = parse_docker_container(
            R"({"Id":")" + kWeb + R"(","Name":"/x","HostConfig":{"CgroupParent":")" + parent +
            "\"}}");
        return record ? record->cgroup : "none";
    };
    EXPECT_EQ(cgroup(""), "");
    EXPECT_EQ(cgroup("/a/b"), "/a/b/" + kWeb);
    EXPECT_EQ(cgroup("/"), "/" + kWeb);
    EXPECT_EQ(cgroup("a-b.slice"), "/a.slice/a-b.slice/docker-" + kWeb + ".scope");
    EXPECT_EQ(cgroup("relative"), "");
}

TEST(DockerRecords, PlacesOfRunningDaemons)
{
    using namespace std::string_literals;
    EnginePaths paths;
    add_dockerd_arguments("dockerd\0--data-root\0/a\0-H\0tcp://0.0.0.0\0-Hfd://\0"s, paths);
    add_dockerd_arguments("/usr/bin/dockerd\0--data-root=/b\0--host=unix:///run/x.sock\0"s, paths);
    add_dockerd_arguments("dockerd\0-g\0/a\0-H\0unix:///run/y.sock\0--data-root"s, paths);
    add_dockerd_arguments("dockerd\0--data-root\0relative"s, paths);
    add_dockerd_arguments("", paths);
    EXPECT_THAT(paths.docker_roots, testing::ElementsAre("/a", "/b"));
    EXPECT_EQ(paths.docker_socket, "/run/x.sock");
    add_docker_daemon_json(R"({"log-level":"warn","data-root":"/c"})", paths);
    add_docker_daemon_json(R"({"data-root":["/d"]})", paths);
    add_docker_daemon_json("{", paths);
    EXPECT_THAT(paths.docker_roots, testing::ElementsAre("/a", "/b", "/c"));
    EXPECT_EQ(docker_host_socket("unix:///var/run/docker.sock"), "/var/run/docker.sock");
    for (const char* host : {"", "unix://", "unix://x", "tcp://[::1]:2375", "ssh://u@h"})
        EXPECT_EQ(docker_host_socket(host), "") << host;
}

TEST(EnginePaths, OfThisHost)
{
    const EnginePaths paths = engine_paths();
    EXPECT_THAT(paths.docker_roots, testing::Contains("/var/lib/docker"));
    EXPECT_FALSE(paths.containerd_run.empty());
}

// ---- Podman and CRI-O

TEST_F(ContainerRecordsTest, PodmanFiles)
{
    ContainerRecords records({.storage_roots = {engines("podman/root")}});
    records.load();
    ContainerRecord expected = {.id = kPodLess,
                                .name = "pod-less",
                                .image = "localhost/bb:1",
                                .engine = "podman",
                                .source = "podman files",
                                .cgroup = "/libpod_parent/libpod-" + kPodLess};
    EXPECT_EQ(*expect_found(records, kPodLess), expected);
    expected.id = kCart;
    expected.name = "cart";
    expected.cgroup = "/libpod_parent/" + kPod + "/libpod-" + kCart;
    EXPECT_EQ(*expect_found(records, kCart), expected);
    EXPECT_EQ(records.find_by_cgroup(expected.cgroup), records.find(kCart));
    EXPECT_TRUE(expect_found(records, kInfra)->sandbox);
}

TEST_F(ContainerRecordsTest, OneOfPodmanAfterItsListChanged)
{
    const std::string list = "root/vfs-containers/containers.json";
    EXPECT_NE(dir.mkdir("root/vfs-containers"), 0u);
    const auto entry = [](const std::string& id, const std::string& name) {
        return R"({"id":")" + id + R"(","names":[")" + name + R"("],"image":"f00d","metadata":)" +
               R"("{\"name\":\"old\",\"image-name\":\"\"}"})";
    };
    dir.write(list, "[" + entry(hex_id("01"), "one") + "]");
    ContainerRecords records({.storage_roots = {dir.path() + "/root"}});
    EXPECT_EQ(expect_found(records, hex_id("01"))->name, "one");
    EXPECT_EQ(expect_found(records, hex_id("01"))->image, "f00d");
    dir.write(list, "[" + entry(hex_id("01"), "one") + "," + entry(hex_id("02"), "two") + "]");
    EXPECT_EQ(expect_found_soon(records, hex_id("02"))->name, "two");
    // A container that was restarted has the same entry in the same list.
    records.forget(hex_id("01"));
    EXPECT_EQ(expect_found(records, hex_id("01"))->name, "one");
}

// However often it changes.
TEST_F(ContainerRecordsTest, ALongListOfPodmanIsReadNowAndThen)
{
    std::string list;
    for (int i = 0; i < 2000; i++) {
        char id[65] = {};
        std::snprintf(id, sizeof(id), "%064x", i);
        list += R"({"id":")" + std::string(id) + R"(","metadata":"{\"name\":\"n\"}"},)";
    }
    auto parsing = steady_clock::duration::max();
    for (int i = 0; i < 5; i++) {
        const auto start = steady_clock::now();
        EXPECT_THAT(parse_storage_containers("[" + list), SizeIs(2000));
        parsing = std::min(parsing, steady_clock::now() - start);
    }
    EXPECT_NE(dir.mkdir("vfs-containers"), 0u);
    PodmanRecords records({dir.path()}, {});
    const auto start = steady_clock::now();
    int read = 0;
    for (int i = 10; i < 50; i++) {
        const std::string id = hex_id(std::to_string(i));
        std::string entry = R"({"id":")" + id + R"(","metadata":"{\"name\":\"new\"}"}])";
        dir.write("vfs-containers/containers.json", "[" + list + entry);
        read += records.one(id) ? 1 : 0;
    }
    EXPECT_GE(read, 1);
    EXPECT_LE(read, 1 + (steady_clock::now() - start) / (50 * parsing));
}

TEST_F(ContainerRecordsTest, CrioFiles)
{
    ContainerRecords records(
        {.storage_roots = {engines("crio/root")}, .storage_runs = {engines("crio/run")}});
    records.load();
    const std::string slice = "/kubepods.slice/kubepods-burstable.slice/"
                              "kubepods-burstable-pod6b1f7a52_30c4_4f0e_9d8a_2f5f6c7d8e90.slice/";
    ContainerRecord expected = {.id = hex_id("e5"),
                                .name = "postgres",
                                .image = "registry.example/postgres:15",
                                .engine = "cri-o",
                                .source = "cri-o files",
                                .cgroup = slice + "crio-" + hex_id("e5") + ".scope",
                                .pod_name = "db-0",
                                .pod_namespace = "data",
                                .pod_uid = "6b1f7a52-30c4-4f0e-9d8a-2f5f6c7d8e90"};
    EXPECT_EQ(*expect_found(records, hex_id("e5")), expected);
    expected.id = hex_id("d4");
    expected.name = "db-0";
    expected.image = "registry.k8s.io/pause:3.9";
    expected.cgroup = slice + "crio-" + hex_id("d4") + ".scope";
    expected.sandbox = true;
    EXPECT_EQ(*expect_found(records, hex_id("d4")), expected);
    // Its sandbox is not on record: the pod is in the sandbox's name.
    const ContainerRecord alone = {.id = hex_id("f6"),
                                   .name = "tail",
                                   .image = "registry.example/tail:1",
                                   .engine = "cri-o",
                                   .source = "cri-o files",
                                   .pod_name = "logs-x",
                                   .pod_namespace = "ops",
                                   .pod_uid = "11111111-2222-3333-4444-555555555555"};
    EXPECT_EQ(*expect_found(records, hex_id("f6")), alone);
    EXPECT_EQ(records.find(hex_id("97")), nullptr) << "Buildah's";
}

TEST(PodmanRecords, KeepsWhatIsCompleteOfAList)
{
    const std::string list = fixture("engines/podman/root/vfs-containers/containers.json");
    EXPECT_THAT(parse_storage_containers(list), SizeIs(3));
    EXPECT_THAT(parse_storage_containers(list.substr(0, list.size() - 2)), SizeIs(2));
    for (size_t length = 0; length < list.size(); length++)
        EXPECT_LE(parse_storage_containers(list.substr(0, length)).size(), 3u);
}

TEST(PodmanRecords, LeavesOutWhatIsNotOfTheForm)
{
    const std::string id = R"([{"id":")" + kPodLess + "\",";
    for (const std::string& text :
         {id + R"("metadata":{"name":"x"}}])", id + R"("metadata":"{\"name\":7}"}])",
          id + R"("metadata":"{\"name\":\"x\""}])", id + R"("metadata":"[[[[[[","names":["x"]}])",
          id + R"("names":["x"]}])",
          std::string(R"([{"id":"../../etc","metadata":"{\"name\":\"x\"}"}])"),
          std::string(R"([{"id":"a/b","metadata":"{\"name\":\"x\"}"}])"), std::string(R"([{}])"),
          std::string()})
        EXPECT_THAT(parse_storage_containers(text), IsEmpty()) << text;
}

TEST(PodmanRecords, ANameOfAPodOfAnotherFormNamesNone)
{
    for (const char* name : {"k8s_a_b_c", "x_a_b_c_0", "k8s_a_b_c_d_0", "", "k8s____0"}) {
        const auto found = parse_storage_containers(
            R"([{"id":")" + kPodLess +
            R"(","metadata":"{\"name\":\"x\",\"pod-id\":\"p\",\"pod-name\":\")" + name +
            R"(\"}"}])");
        ASSERT_THAT(found, SizeIs(1));
        EXPECT_EQ(found[0].record.pod_name, "") << name;
        EXPECT_EQ(found[0].record.engine, "cri-o");
    }
}

// ---- containerd

TEST_F(ContainerRecordsTest, ContainerdBundles)
{
    ContainerRecords records({.containerd_run = engines("containerd")});
    records.load();
    const ContainerRecord batch = {.id = "batch-1",
                                   .name = "batch-1",
                                   .engine = "containerd",
                                   .source = "containerd files",
                                   .cgroup = "/default/batch-1"};
    EXPECT_EQ(*expect_found(records, "batch-1"), batch);
    EXPECT_EQ(expect_found(records, "batch.x")->cgroup, "/other/batch.x");
    EXPECT_EQ(expect_found(records, hex_id("c3"))->name, "cache") << "nerdctl's name";

    const std::string slice = "/kubepods.slice/kubepods-besteffort.slice/"
                              "kubepods-besteffort-pod0f6a5d3e_1b2c_4d5e_8f90_a1b2c3d4e5f6.slice/";
    ContainerRecord expected = {.id = hex_id("b2"),
                                .name = "shell",
                                .image = "registry.example/shell:1.2",
                                .engine = "containerd",
                                .source = "containerd files",
                                .cgroup = slice + "cri-containerd-" + hex_id("b2") + ".scope",
                                .pod_name = "web-7d4b9c",
                                .pod_namespace = "prod",
                                .pod_uid = "0f6a5d3e-1b2c-4d5e-8f90-a1b2c3d4e5f6"};
    EXPECT_EQ(*expect_found(records, hex_id("b2")), expected);
    expected.id = hex_id("a1");
    expected.name = "web-7d4b9c";
    expected.image = "";
    expected.cgroup = slice + "cri-containerd-" + hex_id("a1") + ".scope";
    expected.sandbox = true;
    EXPECT_EQ(*expect_found(records, hex_id("a1")), expected);
    EXPECT_EQ(records.find(kWeb), nullptr) << "Docker's names are Docker's to give";
}

TEST_F(ContainerRecordsTest, ContainerdKnowsTheCgroupOfDockers)
{
    for (const bool load : {false, true}) {
        ContainerRecords records(
            {.docker_roots = {engines("docker/root")}, .containerd_run = engines("containerd")});
        if (load)
            records.load();
        web.cgroup = "/system.slice/docker-" + kWeb + ".scope";
        EXPECT_EQ(*expect_found(records, kWeb), web);
        EXPECT_EQ(records.find_by_cgroup(web.cgroup), records.find(kWeb));
        records.load();
        EXPECT_EQ(*expect_found(records, kWeb), web);
    }
}

TEST_F(ContainerRecordsTest, OneIdInTwoNamespaces)
{
    const std::string tasks = "io.containerd.runtime.v2.task/";
    for (const std::string space : {"a", "b"}) {
        EXPECT_NE(dir.mkdir(tasks + space + "/job"), 0u);
        dir.write(tasks + space + "/job/config.json",
                  R"({"process":{},"linux":{"cgroupsPath":"/)" + space + R"(/job"}})");
    }
    ContainerRecords records({.containerd_run = dir.path()});
    for (int round = 0; round < 2; round++) {
        records.load();
        EXPECT_EQ(expect_found(records, "job")->cgroup, "/a/job");
        ASSERT_NE(records.find_by_cgroup("/b/job"), nullptr);
        EXPECT_EQ(records.find_by_cgroup("/b/job")->cgroup, "/b/job");
    }
    records.forget("job");
    EXPECT_EQ(records.find_by_cgroup("/a/job"), nullptr);
    EXPECT_EQ(records.find_by_cgroup("/b/job"), nullptr);
}

TEST(ContainerdRecords, HalfAConfigurationIsNoneOrTheSame)
{
    const std::string text = fixture("engines/containerd/io.containerd.runtime.v2.task/k8s.io/" +
                                     hex_id("b2") + "/config.json");
    const auto whole = parse_containerd_config(text, "k8s.io", "x");
    ASSERT_TRUE(whole);
    for (size_t length = 0; length < text.size(); length++) {
        const auto half = parse_containerd_config(text.substr(0, length), "k8s.io", "x");
        EXPECT_TRUE(!half || *half == *whole) << length;
    }
}

TEST(ContainerdRecords, WrongTypesAreNoValues)
{
    for (const char* text : {"", "{}", "[]", "null", R"({"annotations":[]})",
                             R"({"linux":{"cgroupsPath":"/x"}})", R"({"process":{}},{})"})
        EXPECT_EQ(parse_containerd_config(text, "default", "x"), std::nullopt) << text;
    const auto record = parse_containerd_config(
        R"({"process":{},"annotations":{"io.kubernetes.cri.container-type":["container"]},)"
        R"("linux":{"cgroupsPath":{"a":"/x"}}})",
        "k8s.io", "x");
    ASSERT_TRUE(record);
    EXPECT_EQ(record->name, "x");
    EXPECT_EQ(record->cgroup, "");
}

// ---- What all share

TEST(RecordJson, CgroupsPath)
{
    EXPECT_EQ(expand_cgroups_path("/default/x"), "/default/x");
    EXPECT_EQ(expand_cgroups_path("system.slice:docker:ab"), "/system.slice/docker-ab.scope");
    EXPECT_EQ(expand_cgroups_path(":docker:ab"), "/system.slice/docker-ab.scope");
    EXPECT_EQ(expand_cgroups_path("-.slice:docker:ab"), "/docker-ab.scope");
    EXPECT_EQ(expand_cgroups_path("a-b-c.slice::x"), "/a.slice/a-b.slice/a-b-c.slice/x.scope");
    EXPECT_EQ(expand_cgroups_path("a.slice:p:x.slice"), "/a.slice/x.slice");
    for (const char* path : {"", "relative/path", "x", "a:b", "a.slice:b", "a.slice:b:c:d", "a:b:c",
                             "-a.slice:b:c", "a-.slice:b:c", "a--b.slice:b:c", ".slice:b:c",
                             "a.slice:b:", "a.slice:../b:c", "a/b.slice:p:x"})
        EXPECT_EQ(expand_cgroups_path(path), "") << path;
}

TEST(RecordJson, SafeIds)
{
    for (const std::string& id : {std::string("a"), kWeb, std::string("batch-1"),
                                  std::string("a..b"), std::string("_x"), std::string(255, 'a')})
        EXPECT_TRUE(is_safe_id(id)) << id;
    for (const std::string& id :
         {std::string(), std::string("."), std::string(".."), std::string("../x"),
          std::string("a/b"), std::string("/"), std::string("a\0b", 3), std::string("a\n"),
          std::string("ü"), std::string("a b"), std::string("a%2fb"), std::string("a?b"),
          std::string("-x"), std::string(256, 'a')})
        EXPECT_FALSE(is_safe_id(id)) << id;
    EXPECT_TRUE(is_hex_id(kWeb));
    EXPECT_FALSE(is_hex_id(kWeb.substr(1)));
    EXPECT_FALSE(is_hex_id(kWeb.substr(1) + "A"));
}

// What would be found if the id became part of a path.
TEST_F(ContainerRecordsTest, UnsafeIdsAreNotLookedFor)
{
    const std::string config = R"({"process":{},"linux":{"cgroupsPath":"/x"}})";
    EXPECT_NE(dir.mkdir("io.containerd.runtime.v2.task/default/a/b"), 0u);
    dir.write("io.containerd.runtime.v2.task/default/a/b/config.json", config);
    dir.write("io.containerd.runtime.v2.task/default/config.json", config);
    dir.write("io.containerd.runtime.v2.task/config.json", config);
    ContainerRecords records({.containerd_run = dir.path()});
    records.load();
    for (const char* id : {"a/b", "a/../a/b", "..", ".", "", "./a/b", "../default/a/b"})
        EXPECT_EQ(records.find(id), nullptr) << id;
}

TEST_F(ContainerRecordsTest, WhatIsNotAFileIsAbsent)
{
    const std::string tasks = "io.containerd.runtime.v2.task/default/";
    EXPECT_NE(dir.mkdir(tasks + "fifo"), 0u);
    EXPECT_NE(dir.mkdir(tasks + "dir/config.json"), 0u);
    EXPECT_NE(dir.mkdir(tasks + "huge"), 0u);
    ASSERT_EQ(::mkfifo((dir.path() + "/" + tasks + "fifo/config.json").c_str(), 0600), 0);
    dir.write(tasks + "huge/config.json", R"({"process":{},"annotations":{}})");
    std::filesystem::resize_file(dir.path() + "/" + tasks + "huge/config.json", 1UL << 40);
    ContainerRecords records({.containerd_run = dir.path()});
    records.load();
    for (const char* id : {"fifo", "dir", "huge"})
        EXPECT_EQ(records.find(id), nullptr) << id;
}

TEST_F(ContainerRecordsTest, MissesAreRememberedForASecond)
{
    const FakeDaemon daemon(socket(), answer_like_docker);
    ContainerRecords records({.docker_socket = socket()});
    for (int i = 0; i < 1000; i++)
        EXPECT_EQ(records.find(hex_id("77")), nullptr);
    EXPECT_LE(daemon.asked(), 3); // one a second
    EXPECT_EQ(records.find("batch-1"), nullptr) << "not Docker's to know, and not its name either";
    EXPECT_LE(daemon.asked(), 3);
}

TEST_F(ContainerRecordsTest, AMissEnds)
{
    ContainerRecords records({.containerd_run = dir.path()});
    EXPECT_EQ(records.find("late"), nullptr);
    EXPECT_NE(dir.mkdir("io.containerd.runtime.v2.task/default/late"), 0u);
    dir.write("io.containerd.runtime.v2.task/default/late/config.json", R"({"process":{}})");
    std::this_thread::sleep_for(milliseconds(1100));
    EXPECT_NE(records.find("late"), nullptr);
}

// What an engine is about to write, or a crash has left, is asked for again.
TEST_F(ContainerRecordsTest, AHalfWrittenFileIsReadAgain)
{
    struct Half {
        std::string id;
        std::string file;
        std::string text;
        EnginePaths paths;
    };
    const std::string bundle = "c/io.containerd.runtime.v2.task/k8s.io/" + hex_id("b2");
    for (const Half& half : {
             Half{kWeb,
                  "d/containers/" + kWeb + "/config.v2.json",
                  fixture("engines/docker/root/containers/" + kWeb + "/config.v2.json"),
                  {.docker_roots = {dir.path() + "/d"}}},
             Half{kPodLess,
                  "p/vfs-containers/containers.json",
                  fixture("engines/podman/root/vfs-containers/containers.json"),
                  {.storage_roots = {dir.path() + "/p"}}},
             Half{hex_id("b2"),
                  bundle + "/config.json",
                  fixture("engines/containerd/io.containerd.runtime.v2.task/k8s.io/" +
                          hex_id("b2") + "/config.json"),
                  {.containerd_run = dir.path() + "/c"}},
         }) {
        EXPECT_NE(dir.mkdir(half.file.substr(0, half.file.rfind('/'))), 0u);
        ContainerRecords records(half.paths);
        for (const size_t length : {size_t{0}, half.text.size() / 8}) {
            dir.write(half.file, half.text.substr(0, length));
            records.load();
            EXPECT_EQ(records.find(half.id), nullptr) << half.file << " of " << length;
        }
        dir.write(half.file, half.text);
        EXPECT_FALSE(expect_found_soon(records, half.id)->name.empty());
        // Half again, as by a crash: what is known stays.
        dir.write(half.file, half.text.substr(0, half.text.size() / 8));
        records.load();
        EXPECT_FALSE(expect_found(records, half.id)->name.empty());
    }
}

TEST_F(ContainerRecordsTest, WhoHasEndedStaysUntilForgotten)
{
    const std::string tasks = "io.containerd.runtime.v2.task/default";
    EXPECT_NE(dir.mkdir(tasks + "/job"), 0u);
    dir.write(tasks + "/job/config.json", R"({"process":{},"linux":{"cgroupsPath":"/d/job"}})");
    ContainerRecords records({.containerd_run = dir.path()});
    records.load();
    std::filesystem::remove_all(dir.path() + "/" + tasks);
    records.load();
    EXPECT_EQ(expect_found(records, "job")->cgroup, "/d/job");
    records.forget("job");
    records.forget("job");
    EXPECT_EQ(records.find("job"), nullptr);
    EXPECT_EQ(records.find_by_cgroup("/d/job"), nullptr);
}

TEST_F(ContainerRecordsTest, NoEngines)
{
    ContainerRecords none(EnginePaths{});
    none.load();
    EXPECT_EQ(none.find(kWeb), nullptr);
    EXPECT_EQ(none.find_by_cgroup(""), nullptr);
    EXPECT_EQ(none.find_by_cgroup("/"), nullptr);
    none.forget("x");
    ContainerRecords absent({.docker_socket = "/nowhere/s",
                             .docker_roots = {"/nowhere"},
                             .storage_roots = {"/nowhere", ""},
                             .storage_runs = {"/nowhere"},
                             .containerd_run = "/nowhere"});
    absent.load();
    EXPECT_EQ(absent.find(kWeb), nullptr);
}

// Acts as an ordinary user while it lives: root may read everything.
class AsNobody {
public:
    AsNobody() : was_root_(::geteuid() == 0) { EXPECT_EQ(was_root_ ? ::seteuid(kNobody) : 0, 0); }
    AsNobody(const AsNobody&) = delete;
    AsNobody& operator=(const AsNobody&) = delete;
    ~AsNobody() { EXPECT_EQ(was_root_ ? ::seteuid(0) : 0, 0); }

private:
    static constexpr uid_t kNobody = 65534;
    bool was_root_;
};

TEST_F(ContainerRecordsTest, SaysWhatItMayNotRead)
{
    const FakeDaemon daemon(socket(), answer_like_docker);
    for (const char* name : {"d/containers", "s/overlay-containers", "r/overlay-containers",
                             "c/io.containerd.runtime.v2.task"})
        EXPECT_NE(dir.mkdir(name), 0u);
    const auto allow = [&](const std::string& name, mode_t mode) {
        EXPECT_EQ(::chmod((dir.path() + name).c_str(), mode), 0);
    };
    const std::string home = dir.path();
    const EnginePaths paths = {.docker_socket = socket(),
                               .docker_roots = {home + "/d", home + "/none"},
                               .storage_roots = {home + "/s"},
                               .storage_runs = {home + "/r"},
                               .containerd_run = home + "/c"};
    const auto problems = [&] {
        const AsNobody nobody;
        return ContainerRecords(paths).problems();
    };
    const auto line = [&](const std::string& name) {
        return "no permission for " + home + name + ": names of its containers may be missing";
    };
    allow("", 0755);
    allow("/docker.sock", 0777);
    EXPECT_THAT(problems(), IsEmpty());
    for (const char* name : {"/docker.sock", "/d", "/s", "/r", "/c"})
        allow(name, 0);
    EXPECT_THAT(problems(), UnorderedElementsAre(line("/docker.sock"), line("/d"), line("/s"),
                                                 line("/r"), line("/c")));
    // Of Docker one of the two is enough.
    for (const char* name : {"/s", "/r", "/c", "/d"})
        allow(name, 0755);
    EXPECT_THAT(problems(), IsEmpty());
    allow("/d", 0711);
    allow("/d/containers", 0700);
    if (::geteuid() == 0) { // else it is our own
        EXPECT_THAT(problems(), UnorderedElementsAre(line("/docker.sock"), line("/d")));
    }
    allow("/docker.sock", 0777);
    EXPECT_THAT(problems(), IsEmpty());
    EXPECT_THAT(ContainerRecords(EnginePaths{}).problems(), IsEmpty());
}

TEST_F(ContainerRecordsTest, AllEnginesAtOnce)
{
    ContainerRecords records({.docker_roots = {engines("docker/root")},
                              .storage_roots = {engines("podman/root"), engines("crio/root")},
                              .storage_runs = {engines("crio/run")},
                              .containerd_run = engines("containerd")});
    records.load();
    EXPECT_EQ(expect_found(records, kWeb)->engine, "docker");
    EXPECT_EQ(expect_found(records, kCart)->engine, "podman");
    EXPECT_EQ(expect_found(records, hex_id("e5"))->engine, "cri-o");
    EXPECT_EQ(expect_found(records, hex_id("b2"))->engine, "containerd");
}

// How long it takes is printed, not judged: a machine may be slow.
TEST_F(ContainerRecordsTest, TwoThousandOfEach)
{
    constexpr int kContainers = 2000;
    const std::string docker =
        fixture("engines/docker/root/containers/" + kWeb + "/config.v2.json");
    const std::string podman =
        fixture("engines/podman/root/vfs-containers/" + kPodLess + "/userdata/config.json");
    const std::string bundle = fixture("engines/containerd/io.containerd.runtime.v2.task/k8s.io/" +
                                       hex_id("b2") + "/config.json");
    const auto id_of = [](int i) {
        char id[65] = {};
        std::snprintf(id, sizeof(id), "%064x", i);
        return std::string(id);
    };
    const auto with_id = [](std::string text, const std::string& old, const std::string& id) {
        for (size_t at = text.find(old); at != std::string::npos; at = text.find(old, at + 1))
            text.replace(at, old.size(), id);
        return text;
    };
    std::string list = "[";
    for (int i = 0; i < kContainers; i++) {
        const std::string id = id_of(i);
        EXPECT_NE(dir.mkdir("d/containers/" + id), 0u);
        dir.write("d/containers/" + id + "/config.v2.json", with_id(docker, kWeb, id));
        EXPECT_NE(dir.mkdir("p/overlay-containers/" + id + "/userdata"), 0u);
        dir.write("p/overlay-containers/" + id + "/userdata/config.json",
                  with_id(podman, kPodLess, id));
        EXPECT_NE(dir.mkdir("c/io.containerd.runtime.v2.task/k8s.io/" + id), 0u);
        dir.write("c/io.containerd.runtime.v2.task/k8s.io/" + id + "/config.json",
                  with_id(bundle, hex_id("b2"), id));
        list += i == 0 ? "" : ",";
        list += R"({"id":")" + id + R"(","names":["n"],"image":"f00d","layer":"l","metadata":)" +
                R"("{\"image-name\":\"localhost/bb:1\",\"name\":\"n\"}"})";
    }
    dir.write("p/overlay-containers/containers.json", list + "]");
    const EnginePaths engines_of[] = {{.docker_roots = {dir.path() + "/d"}},
                                      {.storage_roots = {dir.path() + "/p"}},
                                      {.containerd_run = dir.path() + "/c"}};
    for (const EnginePaths& paths : engines_of) {
        ContainerRecords records(paths);
        const auto start = steady_clock::now();
        records.load();
        const auto took =
            std::chrono::duration_cast<milliseconds>(steady_clock::now() - start).count();
        const ContainerRecord* last = expect_found(records, id_of(kContainers - 1));
        RecordProperty("load_ms_" + last->engine, static_cast<int>(took));
        EXPECT_FALSE(last->name.empty());
        for (int i = 0; i < kContainers; i++)
            ASSERT_NE(records.find(id_of(i)), nullptr) << i;
    }
}

} // namespace
} // namespace vtrace
