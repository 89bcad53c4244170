# SPDX-License-Identifier: GPL-2.0-only
"""Lengths of run queues: workloads of known length, and the kernel's account of waits (Little's law: the mean
number that waits is the time waited per time)."""

import math
import os
import time
import unittest

import vtrace_live as live
from waiters_live import Waiters

SECONDS = 2.5
CPUS = sorted(os.sched_getaffinity(0))


def delay(load):
    """ns that its threads waited by now."""
    found = 0
    for tid in os.listdir(f"/proc/{load.process.pid}/task"):
        with open(f"/proc/{load.process.pid}/task/{tid}/schedstat") as file:
            found += int(file.read().split()[1])
    return found


RATE = 199  # samples a second


class Runqlen(live.TestCase):
    def cgroup(self, suffix, parent=None):
        return self.enter(live.Cgroup(suffix, parent))

    def waiters(self, cgroup, *arguments):
        return self.enter(Waiters(cgroup, *arguments))

    def measure(self, loads, *arguments):
        """The report of a window in which all of them ran, and the mean number of each that waited.

        `late` is the most that can be missing of the samples of each CPU, which are taken for those of an
        idle one: while the hypervisor has it there are none. Emulated, they come late."""
        for load in loads:
            load.begin()
        time.sleep(0.2)
        with live.Tracer("runqlen", *arguments, "--format", "json", SECONDS) as tracer:
            tracer.wait_report(1)
            before, start = [delay(load) for load in loads], time.monotonic()
            with live.Stolen() as stolen:
                tracer.wait_report(2)
            passed = 1e9 * (time.monotonic() - start)
            waited = [(delay(load) - then) / passed for load, then in zip(loads, before)]
            tracer.stop()
            report = tracer.reports()[1]
        for load in loads:
            load.ask_to_rest()
        self.late = {cpu: (0.1 if live.EMULATED else 0) + stolen.ns(cpu) / passed for cpu in CPUS}
        print(f"\n    late: {self.late}", flush=True)
        return report, waited

    def figures(self, row):
        values = {name: metric["value"] for name, metric in row["metrics"].items()}
        print(f"\n    {row['entity']['name']}: {values}", flush=True)
        return values

    @live.measured
    def test_spinners_on_one_cpu(self):
        spinners = 5
        report, (waited,) = self.measure([self.waiters(None, "spin", spinners, CPUS[-1])])
        rows = {row["entity"]["name"]: row for row in report["rows"]}
        self.assertEqual(len(rows), os.cpu_count(), "a row for each CPU")
        found, late = self.figures(rows[f"cpu {CPUS[-1]}"]), self.late[CPUS[-1]]
        share, samples = found["waiting"], found["samples"]
        self.assertGreater(share, 0.99 - late)
        of_share = max(1.96 * math.sqrt(share * (1 - share) / samples), 1 / samples)
        self.assertAlmostEqual(found["error"], of_share, delta=1e-4)
        # Others may wait there, too.
        self.assertGreater(found["length"], (spinners - 1) * (0.985 - late))
        self.assertGreater(found["length"], (0.95 - late) * waited)
        self.assertAlmostEqual(samples, RATE * SECONDS, delta=0.05 * RATE * SECONDS)

    @live.measured
    def test_cgroups_on_one_cpu(self):
        two, three = self.cgroup("two"), self.cgroup("three")
        loads = [self.waiters(two, "spin", 2, CPUS[0]), self.waiters(three, "spin", 3, CPUS[0])]
        report, waited = self.measure(loads, "--cgroup")
        for cgroup, mean in zip((two, three), waited):
            found = self.figures(live.row_of(report, cgroup.path))
            late = self.late[CPUS[0]]
            self.assertAlmostEqual(found["length"], mean, delta=(0.05 + late) * mean, msg="Little's law")
            self.assertGreater(found["waiting"], 0.95 - late)

    @live.measured
    def test_part_of_the_time(self):
        """Threads that sleep half of the time beside one that never does."""
        naps, busy = self.cgroup("naps"), self.cgroup("busy")
        loads = [self.waiters(naps, "nap", 2, CPUS[0], 4000), self.waiters(busy, "spin", 1, CPUS[0])]
        report, waited = self.measure(loads, "--cgroup")
        for cgroup, mean in zip((naps, busy), waited):
            row = live.row_of(report, cgroup.path)
            found = self.figures(row) if row else {"length": 0, "error": 0.01}
            slack = (0.1 + self.late[CPUS[0]]) * mean + 2 * found["error"]
            self.assertAlmostEqual(found["length"], mean, delta=slack, msg=cgroup.path)

    @live.measured
    def test_only_what_was_asked_for(self):
        asked, other = self.cgroup("asked"), self.cgroup("other")
        loads = [self.waiters(asked, "spin", 2, CPUS[0]), self.waiters(other, "spin", 2, CPUS[0])]
        report, _ = self.measure(loads, f"--cgroup={asked.path}")
        self.assertEqual([row["entity"]["cgroup"] for row in report["rows"]], [asked.path])


if __name__ == "__main__":
    unittest.main()
