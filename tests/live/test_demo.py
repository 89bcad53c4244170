#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace demo`: each bottleneck is there by the kernel's own account, is found, and leaves nothing behind."""

import contextlib
import glob
import json
import os
import pathlib
import re
import signal
import time
import unittest

import vtrace_live as live

CONTROLLERS = ("cpu", "memory", "blkio")
MIB = 1 << 20


def expected_rules():
    result = live.run("demo", "--list", "--format", "json")
    return {s["name"]: s["expected_rule"] for s in json.loads(result.out)["scenarios"]}


def network_namespaces(pids=("[0-9]*",)):
    """Of these processes, or of all."""
    found = set()
    for path in (path for pid in pids for path in glob.glob(f"/proc/{pid}/ns/net")):
        with contextlib.suppress(OSError):
            found.add(os.readlink(path))
    return found


SECONDS = 8  # of the diagnosis


def loop_devices():
    return {name for name in os.listdir("/sys/block") if name.startswith("loop")}


def bound(device):
    """True if there is a file behind it."""
    return os.path.exists(f"/sys/block/{device}/loop")


class Demo:
    """A running demo, and what the kernel says of it."""

    def __init__(self, scenario, *arguments):
        self.devices = loop_devices()
        self.bound = set(filter(bound, self.devices))
        self.pids_seen = []
        self.namespaces = set()
        self.tracer = live.Tracer("demo", scenario, SECONDS, "--format", "json", *arguments)
        self.name = f"vtrace-demo-{self.tracer.pid}"
        self.hierarchies = {name: live.hierarchy(name) for name in CONTROLLERS}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tracer.__exit__()

    def path(self, cgroup, controller="cpu"):
        return pathlib.Path(self.hierarchies[controller].mount, self.name, cgroup)

    def pids(self, cgroup):
        """The processes in it, as soon as there are any."""

        def there():
            if self.tracer.process.poll() is not None:
                raise AssertionError(f"expected the demo to run, got {self.tracer.err!r}")
            try:
                return [int(pid) for pid in (self.path(cgroup) / "cgroup.procs").read_text().split()]
            except OSError:
                return []

        return live.until(there, f"processes in {cgroup}")

    def note(self):
        """What there is of it now, to look for it later."""
        for procs in self.path("").glob("*/cgroup.procs"):
            self.pids_seen += map(int, procs.read_text().split())
        self.namespaces = network_namespaces(self.pids_seen) - network_namespaces(["self"])

    def figure(self, cgroup, controller, v1, v2, key=None):
        """The number in the file `v1` or `v2`; behind `key` if there are several."""
        hierarchy = self.hierarchies[controller]
        try:
            text = (self.path(cgroup, controller) / (v1 if hierarchy.v1 else v2)).read_text()
        except OSError as error:
            raise AssertionError(f"expected the demo to be there: {error}") from error
        return int(re.search(rf"(?m)^{key} (\d+)$", text)[1] if key else text)

    def at_limit(self, cgroup):
        key = None if self.hierarchies["memory"].v1 else "max"
        return self.figure(cgroup, "memory", "memory.failcnt", "memory.events", key)

    def bytes_read(self, cgroup):
        if self.hierarchies["blkio"].v1:
            name, pattern = "blkio.throttle.io_service_bytes", r"(?m)^\d+:\d+ Read (\d+)$"
        else:
            name, pattern = "io.stat", r"rbytes=(\d+)"
        found = re.search(pattern, (self.path(cgroup, "blkio") / name).read_text())
        return int(found[1]) if found else 0

    def device(self):
        """The demo's own disk."""
        return live.until(lambda: set(filter(bound, loop_devices())) - self.bound, "it has a disk").pop()

    def leftovers(self):
        return [str(self.path("", name)) for name in CONTROLLERS if self.path("", name).exists()]

    def findings(self):
        self.tracer.wait()
        return [f for d in self.tracer.documents() for f in d.get("findings", [])]


def on_one_cpu(pids):
    """A task is pinned a moment after it has come into its cgroup."""
    live.until(lambda: len(set().union(*map(os.sched_getaffinity, pids))) == 1, "all are on one CPU")


def wait_ns(pids):
    return sum(live.schedstat(pid)[1] for pid in pids)


@unittest.skipIf(live.EMULATED, live.TOO_SLOW)
class DemoTestCase(live.TestCase):
    def start(self, scenario, *arguments):
        return self.enter(Demo(scenario, *arguments))

    def check_ended(self, demo):
        """What holds something."""
        for pid in demo.pids_seen:
            live.until(lambda pid=pid: live.state(pid) == "X", f"process {pid} has ended")
        live.until(lambda: set(filter(bound, loop_devices())) <= demo.bound, "its disk has no file")
        live.until(lambda: not network_namespaces() & demo.namespaces, "its namespaces have gone")

    def check_gone(self, demo):
        self.check_ended(demo)
        self.assertEqual(demo.leftovers(), [], "expected no cgroup to stay")
        self.assertEqual(loop_devices() - demo.devices, set(), "expected no device to stay")


class Scenarios(DemoTestCase):
    """`proof` waits for the bottleneck in the kernel's account while vtrace measures it."""

    def check(self, scenario, proof):
        demo = self.start(scenario)
        proof(demo)
        demo.note()
        findings = demo.findings()
        self.assertEqual(demo.tracer.process.returncode, 0, f"expected exit code 0: {demo.tracer.err}")
        self.check_gone(demo)
        findings = [finding for finding in findings if finding["severity"] != "P3" or expected_rules()[scenario]]
        rules = [finding["rule"] for finding in findings]
        print(f"\n    {scenario}: {rules}", flush=True)
        expected = expected_rules()[scenario]
        if expected is None:
            self.assertEqual(rules, [], "expected nothing above P3 to be found")
            return
        self.assertEqual(rules[:1], [expected], "expected the bottleneck first")
        self.assertIn(demo.name, findings[0]["entity"]["cgroup"], "expected it of the demo")

    @live.measured
    def test_cpu_throttled(self):
        def proof(demo):
            demo.pids("web")
            live.until(lambda: demo.figure("web", "cpu", "cpu.stat", "cpu.stat", "nr_throttled") >= 5,
                       "the quota has run out")

        self.check("cpu-throttled", proof)

    @live.measured
    def test_cpu_neighbour(self):
        def proof(demo):
            victims = demo.pids("web")
            live.until(lambda: len(demo.pids("batch")) == 2, "two hogs")
            on_one_cpu(victims + demo.pids("batch"))
            live.until(lambda: wait_ns(victims) > 200e6, "the victim waits for a CPU")

        self.check("cpu-neighbour", proof)

    @live.measured
    def test_cpu_self(self):
        def proof(demo):
            live.until(lambda: len(demo.pids("web")) == 4, "four tasks")
            pids = demo.pids("web")
            on_one_cpu(pids)
            live.until(lambda: wait_ns(pids) > 600e6, "they wait for each other")

        self.check("cpu-self", proof)

    @live.measured
    def test_memory_limit(self):
        def proof(demo):
            demo.pids("db")
            live.until(lambda: demo.at_limit("db") > 100, "the limit is reached again and again")

        self.check("memory-limit", proof)

    @live.measured
    def test_memory_oom(self):
        def proof(demo):
            demo.pids("supervisor")
            live.until(lambda: demo.figure("web", "memory", "memory.oom_control", "memory.events",
                                           "oom_kill") >= 2, "two processes are killed")

        self.check("memory-oom", proof)

    @live.measured
    def test_disk_limit(self):
        def proof(demo):
            demo.pids("db")
            live.until(lambda: demo.bytes_read("db") > 0, "it reads")
            before, start = demo.bytes_read("db"), time.monotonic()
            time.sleep(2)
            rate = (demo.bytes_read("db") - before) / (time.monotonic() - start)
            self.assertLess(rate, 2.5 * MIB, "expected what the limit lets through")
            self.assertGreater(rate, 0.5 * MIB, "expected it to read meanwhile")

        self.check("disk-limit", proof)

    @live.measured
    def test_disk_neighbour(self):
        def proof(demo):
            demo.pids("db"), demo.pids("backup")
            inflight = pathlib.Path("/sys/block", demo.device(), "inflight")
            live.until(lambda: int(inflight.read_text().split()[1]) > 100, "a deep queue of writes",
                       every=0.001)
            scheduler = pathlib.Path("/sys/block", demo.device(), "queue/scheduler").read_text()
            self.assertIn("[mq-deadline]", scheduler)

        self.check("disk-neighbour", proof)

    @live.measured
    def test_lock_contention(self):
        def proof(demo):
            (pid,) = demo.pids("web")

            def waiting():
                places = glob.glob(f"/proc/{pid}/task/*/wchan")
                return sum("futex" in pathlib.Path(place).read_text() for place in places)

            live.until(lambda: waiting() >= 2, "threads wait for the lock", every=0.001)

        self.check("lock-contention", proof)

    @live.measured
    def test_net_drops(self):
        def proof(demo):
            (pid,) = demo.pids("web")

            def lost():
                text = pathlib.Path(f"/proc/{pid}/net/snmp").read_text()
                names, values = (line.split() for line in re.findall(r"(?m)^Udp: (.*)$", text))
                return int(dict(zip(names, values, strict=True))["RcvbufErrors"])

            live.until(lambda: lost() > 100, "datagrams do not fit into the socket's buffer")

        self.check("net-drops", proof)

    @live.measured
    def test_net_queue(self):
        def proof(demo):
            (pid,) = demo.pids("backup")

            def sent():
                text = pathlib.Path(f"/proc/{pid}/net/dev").read_text()
                found = re.search(r"demo0:(.*)", text)
                return int(found[1].split()[8]) if found else 0

            def unsent():
                lines = pathlib.Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]
                return sum(int(line.split()[4].split(":")[0], 16) for line in lines)

            live.until(lambda: sent() > 200_000, "it sends")
            before, start = sent(), time.monotonic()
            time.sleep(2)
            rate = (sent() - before) / (time.monotonic() - start)
            self.assertLess(rate, 1.3e6, "expected what the shaper lets out")
            self.assertGreater(unsent(), 0, "expected more to wait for that")

        self.check("net-queue", proof)

    @live.measured
    def test_healthy(self):
        def proof(demo):
            demo.pids("web"), demo.pids("db")
            self.assertEqual(demo.figure("web", "cpu", "cpu.stat", "cpu.stat", "nr_throttled"), 0)
            self.assertEqual(demo.at_limit("db"), 0)

        self.check("healthy", proof)

    def test_every_scenario_has_a_test(self):
        tested = {name.removeprefix("test_").replace("_", "-") for name in dir(self)
                  if name.startswith("test_")}
        self.assertEqual(set(expected_rules()) - tested, set())


class NothingIsLeft(DemoTestCase):
    SCENARIOS = (("net-queue", "backup"), ("disk-neighbour", "backup"), ("memory-oom", "supervisor"))

    def stopped_by(self, number, scenario, cgroup):
        demo = self.start(scenario)
        demo.pids(cgroup)
        if scenario.startswith("disk"):
            demo.device()
        demo.note()
        demo.tracer.stop(number)
        return demo

    def test_ctrl_c(self):
        for scenario, cgroup in self.SCENARIOS:
            with self.subTest(scenario=scenario):
                demo = self.stopped_by(signal.SIGINT, scenario, cgroup)
                self.assertEqual(demo.tracer.process.returncode, 0, "expected exit code 0")
                self.check_gone(demo)

    def test_kill(self):
        """What no process can take down then, which holds nothing, the next demo does."""
        for scenario, cgroup in self.SCENARIOS:
            with self.subTest(scenario=scenario):
                killed = self.stopped_by(signal.SIGKILL, scenario, cgroup)
                self.check_ended(killed)
                self.stopped_by(signal.SIGINT, "disk-limit", "db")
                self.check_gone(killed)

    def test_controllers_of_v2_are_as_they_were(self):
        hierarchy = live.hierarchy("memory")
        if hierarchy.v1:
            self.skipTest("the controllers are those of v1")
        control = pathlib.Path(hierarchy.mount, "cgroup.subtree_control")
        before = set(control.read_text().split())
        self.stopped_by(signal.SIGINT, "cpu-self", "web")
        self.assertEqual(set(control.read_text().split()), before)


@live.on_any_kernel
class Usage(unittest.TestCase):
    def test_list(self):
        result = live.run("demo", "--list")
        self.assertEqual((result.code, result.err), (0, ""), "expected exit code 0 and no error")
        self.assertEqual([line.split()[0] for line in result.out.splitlines()],
                         list(expected_rules()), "expected a line per scenario")

    def test_wrong_usage(self):
        for arguments, mention in (((), "no scenario"), (("nosuch",), "nosuch"),
                                   (("--list", "healthy"), "--list"), (("healthy", "100"), "100")):
            with self.subTest(arguments=arguments):
                live.check_failure(self, live.run("demo", *arguments), 2, mention, ";")

    def test_as_an_ordinary_user(self):
        with live.binary_copy() as copy:
            result = live.run("demo", "cpu-self", prefix=live.as_nobody(), binary=copy)
            live.check_failure(self, result, 3, "cgroup", "root")


if __name__ == "__main__":
    unittest.main()
