#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What must hold however many containers come and go: names, little CPU, bounded memory."""

import contextlib
import ctypes
import hashlib
import json
import os
import pathlib
import signal
import struct
import tempfile
import time
import unittest

import engines_live as engines
import vtrace_live as live
from test_entities import Named

FIXTURES = live.ROOT / "tests" / "fixtures" / "engines"


def hex_id(number):
    """64 hex digits, as engines give them."""
    return hashlib.sha256(b"%d" % number).hexdigest()


def container_rows(reports):
    """The rows of containers by the path of their cgroup."""
    rows = {}
    for report in reports:
        for row in report["rows"]:
            if row["entity"]["kind"] == "container":
                rows.setdefault(row["entity"]["cgroup"], []).append(row)
    return rows


def cpu_share(reports):
    """Of one CPU, what vtrace itself took."""
    return sum(r["overhead"]["cpu_ns"] for r in reports) / sum(r["duration_ns"] for r in reports)


class Storm(live.TestCase):
    # An emulated machine has its own idea of 20 ms, and of a share of a CPU.
    CONTAINERS = 50 if live.EMULATED else 500
    # In each a task naps and wakes: 20 ms.
    NAPS = 15

    def names(self):
        """(name of the cgroup, name of the container) of each of the storm, as engines would call them. No
        engine has them on record: the dearest case, as each has to be asked for."""
        for number in range(self.CONTAINERS):
            digits = hex_id(number)
            yield [
                (f"docker-{digits}.scope", digits[:12]),
                (f"lxc.payload.vtrace-{number}", f"vtrace-{number}"),
                (f"libpod-{digits}", digits[:12]),
                (f"cri-containerd-{digits}.scope", digits[:12]),
            ][number % 4]

    def test_500_containers_of_20_ms(self):
        self.check_storm()

    def test_500_containers_that_docker_does_not_know(self):
        docker = self.enter(engines.Docker())
        self.check_storm(prefix=("env", f"DOCKER_HOST=unix://{docker.socket}"))

    def check_storm(self, prefix=()):
        expected = {}
        home = self.enter(live.Cgroup())
        parent = self.enter(Named("vtrace-storm"))
        child = self.enter(live.Child(live.naps(self.NAPS), home))
        with live.Tracer("runqlat", "--container", "--overhead", "--format", "json", "1",
                         prefix=prefix) as tracer:
            first = tracer.wait_report(5)  # what was there before has been asked for
            for name, container in self.names():
                with Named(name, parent) as cgroup:
                    expected[cgroup.path] = container
                    try:
                        cgroup.add(child.pid)
                        child.ask()
                    finally:
                        home.add(child.pid)
            last = len(tracer.reports())
            tracer.wait_report(last + 3)
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
        before, reports = tracer.reports()[1:first], tracer.reports()[first:]
        rows = container_rows(reports)
        for path, container in expected.items():
            with self.subTest(path):
                self.assertIn(path, rows, "expected a row with its path")
                self.assertEqual({row["entity"]["name"] for row in rows[path]}, {container})
                self.assertGreater(sum(row["metrics"]["wait"]["count"] for row in rows[path]), 0)
        # The end of a report may fall between the last wait in one and its end.
        marked = sum(rows[path][-1]["entity"].get("ended", False) for path in expected if path in rows)
        self.assertGreaterEqual(marked, 0.8 * len(expected), "expected them to be marked as ended")
        for report in reports:
            for row in report["rows"]:
                if row["metrics"]["wait"]["count"] and row["entity"]["kind"] != "host":
                    self.assertTrue(row["entity"]["cgroup"].startswith("/"), f"expected a path: {row['entity']}")
        for key in ("unresolved", "cgroup_dropped", "map_full"):
            self.assertEqual(live.losses(reports, key), 0, f"expected no loss of kind {key}")

        rss = [report["overhead"]["rss_bytes"] / 1e6 for report in reports]
        quiet, busy = cpu_share(before), cpu_share(reports[:-3])
        seconds = sum(r["duration_ns"] for r in reports[:-3]) / 1e9
        print(f"\n    {len(expected)} in {seconds:.0f} s: vtrace took {100 * busy:.2f} % of a CPU"
              f" ({100 * quiet:.2f} % before), {rss[0]:.1f} to {rss[-1]:.1f} MB", flush=True)
        if not live.EMULATED:
            self.assertLess(busy - quiet, 0.1, "expected names to cost next to nothing")
        self.assertLess(rss[-1] - rss[0], 4, "expected what has ended to be forgotten")


class Opened:
    """Which of these files and directories vtrace opens, by fanotify(7): the oracle. (It tells who does, which
    inotify does not: others may look at cgroups as well.)"""

    FAN_CLOEXEC, FAN_NONBLOCK, FAN_MARK_ADD = 0x1, 0x2, 0x1
    FAN_OPEN, FAN_ONDIR = 0x20, 0x40000000
    EVENT = struct.Struct("=IBBHQii")

    def __init__(self, paths):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.fanotify_init(self.FAN_CLOEXEC | self.FAN_NONBLOCK, os.O_RDONLY | os.O_CLOEXEC)
        if self.fd < 0:
            raise unittest.SkipTest(f"missing: fanotify: {os.strerror(ctypes.get_errno())}")
        self.paths = {}
        for path in paths:
            self.watch(path)

    @staticmethod
    def _key(st):
        return st.st_dev, st.st_ino

    def watch(self, path):
        mask = ctypes.c_uint64(self.FAN_OPEN | self.FAN_ONDIR)
        done = self.libc.fanotify_mark(self.fd, self.FAN_MARK_ADD, mask, -100, os.fsencode(path))
        assert done == 0, f"expected to watch {path}: {os.strerror(ctypes.get_errno())}"
        self.paths[self._key(os.stat(path))] = path

    def take(self, pid):
        """Those that the process has opened since the last call."""
        found = set()
        with contextlib.suppress(BlockingIOError):
            while events := os.read(self.fd, 1 << 16):
                for _, _, _, _, _, fd, opener in self.EVENT.iter_unpack(events):
                    if opener == pid:
                        found.add(self.paths[self._key(os.fstat(fd))])
                    os.close(fd)
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)


class Records:
    """What Docker, Podman and containerd have on record, as files, and where vtrace looks for them."""

    DOCKER = "c88a385b1b1feb8375f509175cb29e7c32474766d3529e849401710ff01ae7c9"
    PODMAN = "5dfa282bac4abac7058d23e3c6a9926f13a9d4852c364427d1ae723d2c93dc9d"
    CONTAINERD = "b2" * 32

    def __init__(self, home):
        self.docker, self.podman, self.containerd = (pathlib.Path(home, n) for n in ("d", "p", "c"))
        self.prefix = live.private_mounts("; ".join(
            f"mkdir -p {place}; mount --bind {directory} {place}"
            for directory, place in ((self.docker, "/var/lib/docker"),
                                     (self.podman, "/var/lib/containers/storage"),
                                     (self.containerd, "/run/containerd"))))
        self.prefix += ["env", f"DOCKER_HOST=unix://{home}/none"]
        self.list = self.podman / "vfs-containers" / "containers.json"
        self.entries = []

    @staticmethod
    def _copy(recorded, old, path, new):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(recorded.read_text().replace(old, new))
        return path

    def add(self, engine, container):
        """Puts one on record; returns the name that its cgroup has, and its file."""
        if engine == "docker":
            inside = "containers/%s/config.v2.json"
            file = self._copy(FIXTURES / "docker/root" / (inside % self.DOCKER), self.DOCKER,
                              self.docker / (inside % container), container)
            return f"docker-{container}.scope", file
        if engine == "containerd":
            inside = "io.containerd.runtime.v2.task/k8s.io/%s/config.json"
            file = self._copy(FIXTURES / "containerd" / (inside % self.CONTAINERD), self.CONTAINERD,
                              self.containerd / (inside % container), container)
            return f"cri-containerd-{container}.scope", file
        inside = "vfs-containers/%s/userdata/config.json"
        file = self._copy(FIXTURES / "podman/root" / (inside % self.PODMAN), self.PODMAN,
                          self.podman / (inside % container), container)
        recorded = json.loads((FIXTURES / "podman/root/vfs-containers/containers.json").read_text())
        entry = json.dumps(next(entry for entry in recorded if entry["id"] == self.PODMAN))
        self.entries.append(json.loads(entry.replace(self.PODMAN, container)))
        self.list.write_text(json.dumps(self.entries))
        return f"libpod-{container}", file


class SteadyState(live.TestCase):
    EACH = 10

    def test_nothing_is_opened_again(self):
        records = Records(self.enter(tempfile.TemporaryDirectory(prefix="vtrace-test-")))
        files, cgroups = [], []
        for number in range(3 * self.EACH):
            engine = ("docker", "podman", "containerd")[number % 3]
            name, file = records.add(engine, hex_id(number))
            cgroups.append(self.enter(Named(name)))
            files.append(file)
        opened = self.enter(Opened(files + [cgroup.directory.decode() for cgroup in cgroups]))
        with live.Tracer("runqlat", "--container", "--format", "json", "0.5", prefix=records.prefix) as tracer:
            tracer.wait_report()
            # A cgroup with none below it need not be opened.
            self.assertLessEqual(set(files), opened.take(tracer.pid), "expected all to be looked at once")
            with self.subTest("unchanged"):
                tracer.wait_report(5)
                self.assertEqual(opened.take(tracer.pid), set(), "expected nothing to be opened again")
            with self.subTest("one of each is new"):
                for number, engine in enumerate(("docker", "podman", "containerd")):
                    name, file = records.add(engine, hex_id(1000 + number))
                    opened.watch(file)
                    cgroup = self.enter(Named(name))
                    with live.Child(live.naps(50), cgroup) as child:
                        child.ask()
                    live.until(lambda: file in opened.take(tracer.pid), f"the new one of {engine} is looked at")
                    self.assertEqual(opened.take(tracer.pid), set())
                time.sleep(0.5)
                self.assertEqual(opened.take(tracer.pid), set(), "expected nothing else to be opened")
            tracer.stop()
        names = {row["entity"]["name"]: row["entity"] for r in tracer.reports() for row in r["rows"]}
        self.assertLessEqual({"web-1", "pod-less", "shell"}, set(names), "expected the names on record")


class Docker(live.TestCase):
    def rows(self, tracer, name):
        return [row for report in tracer.reports() for row in report["rows"]
                if (row["entity"]["kind"], row["entity"]["name"]) == ("container", name)]

    @staticmethod
    def kill(process):
        """The container's, in case that no daemon is left to do so."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)

    def tracer(self, docker):
        return live.Tracer("runqlat", "--container", "--overhead", "--format", "json", "0.5",
                           prefix=("env", f"DOCKER_HOST=unix://{docker.socket}"))

    def test_30_short_ones(self):
        docker = self.enter(engines.Docker())
        names = [f"short-{number}" for number in range(30)]
        with self.tracer(docker) as tracer:
            tracer.wait_report()
            for name in names:
                docker.containers.append(name)
                docker.call("run", "--network=none", "--name", name, "vtrace-test:1",
                            "/bin/busybox", "sleep", "0.02")
            tracer.wait_report(len(tracer.reports()) + 2)
            tracer.stop()
        for name in names:
            rows = self.rows(tracer, name)
            self.assertTrue(rows, f"expected a row of {name}")
            self.assertIn(rows[0]["entity"]["uid"], rows[0]["entity"]["cgroup"])
            self.assertGreater(sum(row["metrics"]["wait"]["count"] for row in rows), 0)
        reports = tracer.reports()
        print(f"\n    {len(names)} of Docker: vtrace took {100 * cpu_share(reports):.2f} % of a CPU", flush=True)
        self.assertEqual(live.losses(reports, "unresolved"), 0)

    def test_a_daemon_that_dies_and_comes_back(self):
        docker = self.enter(engines.Docker())
        _, pid = docker.run("before", command=engines.SPIN)
        process = os.pidfd_open(pid)
        self.stack.callback(os.close, process)
        self.stack.callback(self.kill, process)
        with self.tracer(docker) as tracer:
            live.until(lambda: self.rows(tracer, "before"), "a row with its name")
            docker.crash()
            seen = len(self.rows(tracer, "before"))
            live.until(lambda: len(self.rows(tracer, "before")) >= seen + 3, "its name stays without the daemon")
            docker.begin()
            docker.run("after", command=engines.SPIN)
            live.until(lambda: self.rows(tracer, "after"), "the daemon is asked again")
            tracer.stop()


class Podman(live.TestCase):
    def test_a_pod(self):
        """Its name is only in Podman's database: it is shown by its id."""
        podman = self.enter(engines.Podman())
        pod = podman.pod("shop")
        container, pid = podman.run("cart", "--pod", "shop")
        place = "/var/lib/containers/storage"
        os.makedirs(place, exist_ok=True)
        result = live.run("ps", "--format", "json", prefix=live.private_mounts(f"mount --bind {podman.graph} {place}"))
        found = {entity["uid"]: entity for entity in json.loads(result.out)["entities"]}
        self.assertEqual((found[pod]["kind"], found[pod]["name"], found[pod]["source"]), ("pod", pod[:12], "cgroup"))
        self.assertEqual((found[container]["name"], found[container]["source"]), ("cart", "podman files"))
        self.assertEqual(found[container]["parents"], [{"kind": "pod", "name": pod[:12]}])
        self.assertEqual(found[container]["cgroup"], live.CgroupOf(pid).path)


if __name__ == "__main__":
    unittest.main()
