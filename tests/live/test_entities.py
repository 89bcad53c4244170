#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Containers, pods and units: their waits, by name, against the kernel's own account of their threads."""

import datetime
import json
import os
import shutil
import time
import unittest

import jsonschema

import engines_live as engines
import vtrace_live as live
from waiters_live import HostAccount, Waiters, measure

TOLERANCE = 0.02
UID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


class Named(live.Cgroup):
    """A cgroup with a name that is given, not made up."""

    def __init__(self, name, parent=None):
        found = live.hierarchy()
        base = os.fsencode(found.mount) if parent is None else parent.directory
        self.v1 = found.v1
        self.mount = os.fsencode(found.mount)
        self.directory = os.path.join(base, os.fsencode(name))
        for directory, _, _ in os.walk(self.directory, topdown=False):  # of a run that was killed
            os.rmdir(directory)
        os.mkdir(self.directory)


class Base(live.TestCase):
    def row(self, reports, kind, name):
        return [row for report in reports for row in report["rows"]
                if (row["entity"]["kind"], row["entity"]["name"]) == (kind, name)]

    def check(self, group, expected, prefix=(), more=()):
        """expected: {name: the workloads in it}. Each, and each of `more`, is told to begin and to rest within
        the windows, and the kernel's account of it is read before and after."""
        kind = group.removeprefix("--").split("=")[0]
        loads = [load for of_one in expected.values() for load in of_one] + list(more)
        reports = measure(loads, group, prefix=prefix, seconds=1.5)
        for name, of_one in expected.items():
            rows = self.row(reports, kind, name)
            self.assertTrue(rows, f"expected a row of {kind} {name} among "
                            f"{[r['entity']['name'] for report in reports for r in report['rows']]}")
            total = sum(row["metrics"]["wait"]["sum"] for row in rows)
            count = sum(row["metrics"]["wait"]["count"] for row in rows)
            delay = sum(load.run_delay for load in of_one)
            slices = sum(load.slices for load in of_one)
            print(f"\n    {kind} {name}: {total / 1e6:.3f} ms, {count}, kernel {delay / 1e6:.3f} ms,"
                  f" {slices} ({100 * (total / delay - 1):+.4f} %)", flush=True)
            self.assertGreater(delay, 100e6, "expected them to wait at all")
            # Of a task that is moved while it falls asleep the kernel takes the sleep for a wait (6.12 and
            # newer), here that of a thread at rest. vtrace leaves it out and counts it.
            errors = live.losses(reports, "clock_anomaly")
            # Account and reports begin and end at the same moments but for a few waits.
            few = max(TOLERANCE * slices, 4)
            self.assertAlmostEqual(count, slices, delta=few + errors, msg=f"{kind} {name}")
            self.assertLessEqual(total, delay * (1 + TOLERANCE), f"{kind} {name}")
            self.assertGreaterEqual(total, delay * (1 - TOLERANCE) - errors * 2e9, f"{kind} {name}")
        return reports

    def check_partition(self, group, loads):
        """Who a wait belongs to is one of the rows, and only one: their sum is the host's."""
        with HostAccount() as host:
            with live.Tracer("runqlat", group, "--include-self", "--format", "json", 0.5) as tracer:
                tracer.wait_report()
                for load in loads:
                    load.begin()
                tracer.wait_report(4)
                for load in loads:
                    load.ask_to_rest()
                for load in loads:
                    load.rest()
                tracer.wait_report(1 + len(tracer.reports()))
                tracer.stop()
                # The last is cut short, and ends while the tracer does.
                reports = tracer.reports()[:-1]
            time.sleep(0.1)
        start, end = (datetime.datetime.fromisoformat(text).timestamp()
                      for text in (reports[0]["start"], reports[-1]["end"]))
        account = host.between(start, end)
        metrics = [row["metrics"]["wait"] for report in reports for row in report["rows"]]
        total, count = (sum(metric[key] for metric in metrics) for key in ("sum", "count"))
        errors = live.losses(reports, "clock_anomaly")
        print(f"\n    {group}: {total / 1e6:.3f} ms, host {account.run_delay / 1e6:.3f} ms"
              f" ({100 * (total / account.run_delay - 1):+.4f} %); count {count},"
              f" host {account.slices}; {errors} anomalies", flush=True)
        self.assertGreater(account.run_delay, 1e9, "expected a host that is short of CPU")
        self.assertAlmostEqual(count, account.slices, delta=TOLERANCE * account.slices + errors)
        self.assertLessEqual(total, account.run_delay * (1 + TOLERANCE))
        self.assertGreaterEqual(total, account.run_delay * (1 - TOLERANCE) - errors * 2e9)

    def listed(self, prefix=()):
        """The entities of `vtrace ps`."""
        result = live.run("ps", "--format", "json", prefix=prefix)
        self.assertEqual((result.code, result.err), (0, ""))
        document = json.loads(result.out)
        jsonschema.validate(document, json.loads(live.SCHEMA.read_text()))
        return document["entities"]

    def load(self, cgroup, threads=2):
        """Threads that want one CPU all the time, in a cgroup; at rest until they are told."""
        return [self.enter(Waiters(cgroup, "spin", threads, live.last_cpu()))]


class Entities(Base):
    def kubernetes(self):
        """The cgroups of a pod with two containers, as the kubelet's cgroupfs driver makes them."""
        parent = None
        for name in ("kubepods", "burstable", f"pod{UID}"):
            parent = self.enter(Named(name, parent))
        return parent, [self.enter(Named(digit * 64, parent)) for digit in "ab"]

    def test_pods_and_containers_by_cgroup(self):
        if shutil.which("kubelet"):
            self.skipTest("missing: a host without Kubernetes")
        _, (one, two) = self.kubernetes()
        def loads():
            return self.load(one), self.load(two, 1)

        a, b = loads()
        self.check("--container", {"a" * 12: a, "b" * 12: b})
        a, b = loads()
        reports = self.check("--pod", {UID[:12]: a + b})
        entity = self.row(reports, "pod", UID[:12])[0]["entity"]
        self.assertEqual(entity["uid"], UID)
        a, _ = loads()
        reports = self.check(f"--container={'a' * 8}", {"a" * 12: a})
        names = {row["entity"]["name"] for report in reports for row in report["rows"]}
        self.assertEqual(names, {"a" * 12}, "expected only what was selected")
        listed = {e["name"]: e for e in self.listed()}
        self.assertEqual(listed["a" * 12]["parents"], [{"kind": "pod", "name": UID[:12]}])
        self.assertEqual(listed[UID[:12]]["uid"], UID)
        entity = reports[-1]["rows"][0]["entity"]
        self.assertEqual(entity["parents"], [{"kind": "pod", "name": UID[:12]}])
        self.assertEqual(entity["cgroup"], one.path)

    def test_the_rows_of_each_kind_are_the_host(self):
        _, (one, two) = self.kubernetes()
        service = self.enter(Named("partition.service"))
        for kind in ("container", "pod", "unit", "cgroup"):
            with self.subTest(kind):
                loads = [*self.load(one), *self.load(two), *self.load(service), *self.load(None)]
                self.check_partition(f"--{kind}", loads)

    def test_units(self):
        slice_ = self.enter(Named("vtrace\\x2dtest.slice"))
        service = self.enter(Named("a\\x20b.service", slice_))
        inner = self.enter(Named("worker", service))
        self.check("--unit", {"a b.service": self.load(inner)})
        other = self.enter(Named("c.scope", slice_))
        self.check("--unit=a\x20b.service".replace("\x20", " "), {"a b.service": self.load(inner)})
        self.check("--unit=vtrace-test.slice", {"c.scope": self.load(other)})

    def test_whoever_is_in_none(self):
        self.enter(live.Child(live.yields, self.enter(live.Cgroup())))
        with live.Tracer("runqlat", "--container", "--format", "json", "0.3") as tracer:
            tracer.wait_report(2)
            tracer.stop()
        self.assertTrue(self.row(tracer.reports(), "host", "not in a container"))

    @live.on_any_kernel
    def test_unknown_names_list_the_known(self):
        service = self.enter(Named("vtrace-known.service"))
        self.assertTrue(service)
        result = live.run("runqlat", "--unit=vtrace-unknown", "1", "1")
        live.check_failure(self, result, 2, "there is no unit vtrace-unknown", "vtrace-known.service")

    @live.on_any_kernel
    def test_ambiguous_names_list_the_candidates(self):
        for parent in ("vtrace-one.slice", "vtrace-two.slice"):
            self.enter(Named("vtrace-twin.service", self.enter(Named(parent))))
        result = live.run("runqlat", "--unit=vtrace-twin", "1", "1")
        live.check_failure(self, result, 2, "2 of kind unit are called vtrace-twin")


class Engines(Base):
    def test_docker(self):
        docker = self.enter(engines.Docker())
        host = ("env", f"DOCKER_HOST=unix://{docker.socket}")
        web, web_pid = docker.run("checkout-api", "--cpus=1.5", "--memory=64m")
        _, batch_pid = docker.run("batch.1")

        def loads():
            return [self.load(live.CgroupOf(pid)) for pid in (web_pid, batch_pid)]

        a, b = loads()
        reports = self.check("--container", {"checkout-api": a, "batch.1": b}, prefix=host)
        entity = self.row(reports, "container", "checkout-api")[0]["entity"]
        self.assertEqual((entity["uid"], entity["image"]), (web, "vtrace-test:1"))
        a, _ = loads()
        self.check("--container=checkout-api", {"checkout-api": a}, prefix=host)

        with self.subTest("ps"):
            found = {e["name"]: e for e in self.listed(host)}
            shown = {key: found["checkout-api"][key] for key in
                     ("kind", "uid", "image", "cgroup", "cpus", "memory_bytes", "source")}
            self.assertEqual(shown, {
                "kind": "container", "uid": web, "image": "vtrace-test:1",
                "cgroup": live.CgroupOf(web_pid).path, "cpus": 1.5, "memory_bytes": 64 << 20,
                "source": "docker API",
            })
            self.assertIsNone(found["batch.1"]["cpus"])
            self.assertIsNone(found["batch.1"]["memory_bytes"])
            text = live.run("ps", prefix=host).out
            self.assertRegex(text, rf"(?m)^container checkout-api +{web[:12]} +1\.50 +64M +\d+ +docker API +/")

        with self.subTest("a container that starts, and ends, while it is traced"):
            with live.Tracer("runqlat", "--container", "--format", "json", "0.5", prefix=host) as tracer:
                tracer.wait_report()
                late, _ = docker.run("late", command=engines.SPIN)
                live.until(lambda: self.row(tracer.reports(), "container", "late"), "a row of its own")
                docker.call("rm", "-f", late)
                live.until(
                    lambda: any(row["entity"].get("ended") for row in self.row(tracer.reports(), "container", "late")),
                    "its name is kept when it has ended",
                )
                tracer.stop()

        with self.subTest("the daemon is silent: its files say it"):
            docker.process.send_signal(engines.signal.SIGSTOP)
            try:
                self.check("--container", {"checkout-api": self.load(live.CgroupOf(web_pid))}, prefix=host)
            finally:
                docker.process.send_signal(engines.signal.SIGCONT)

    def bound(self, directory, place):
        """A prefix that shows vtrace a directory at the place where it looks."""
        os.makedirs(place, exist_ok=True)
        return live.private_mounts(f"mount --bind {directory} {place}")

    def test_containerd(self):
        containerd = self.enter(engines.Containerd())
        pid = containerd.run("cache-7")
        reports = self.check("--container", {"cache-7": self.load(live.CgroupOf(pid))},
                             prefix=self.bound(containerd.state, "/run/containerd"))
        self.assertTrue(self.row(reports, "container", "cache-7"))
        with self.subTest("one that starts while it is traced"):
            prefix = self.bound(containerd.state, "/run/containerd")
            with live.Tracer("runqlat", "--container", "--format", "json", "0.5", prefix=prefix) as tracer:
                tracer.wait_report()
                late = containerd.run("late-8")
                self.enter(live.Child(live.yields, live.CgroupOf(late)))
                live.until(lambda: self.row(tracer.reports(), "container", "late-8"), "a row of its own")
                tracer.stop()

    def test_podman(self):
        podman = self.enter(engines.Podman())
        container, pid = podman.run("queue")
        reports = self.check("--container", {"queue": self.load(live.CgroupOf(pid))},
                             prefix=self.bound(podman.graph, "/var/lib/containers/storage"))
        self.assertEqual(self.row(reports, "container", "queue")[0]["entity"]["uid"], container)


if __name__ == "__main__":
    unittest.main()
