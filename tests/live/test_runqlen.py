# SPDX-License-Identifier: GPL-2.0-only
"""Lengths of run queues: workloads of known length, and the kernel's account of waits (Little's law: the mean
number that waits is the time waited per time)."""

import math
import os
import pathlib
import time
import unittest

import kvm_live as kvm
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

    def test_each_sample_that_was_due_is_there_or_counted(self):
        """Whatever the CPUs do; the oracle is the clock."""
        with live.Tracer("runqlen", "--format", "json", 0.7) as tracer:
            tracer.wait_report(1)
            busy = self.waiters(None, "spin", 3, CPUS[0])
            busy.begin()
            tracer.wait_report(5)
            busy.ask_to_rest()
            tracer.stop()
            reports = tracer.reports()
        due = came = 0
        for report in reports:
            due += RATE * report["duration_ns"] / 1e9 * len(report["rows"])
            came += sum(self.figures(row)["samples"] for row in report["rows"])
        missed = live.losses(reports, "samples_missed")
        print(f"\n    due {due:.1f}, came {came:.0f}, missed {missed}", flush=True)
        # Of each CPU one can be on its way at either end, and some come before the first window starts.
        self.assertAlmostEqual(came + missed, due, delta=0.005 * due + 3 * len(reports[0]["rows"]))
        self.assertLess(missed, (0.5 if live.EMULATED else 0.1) * due, "expected nearly all to come")

    @unittest.skipUnless(live.EMULATED, "taking a CPU away is for a machine of the test's own: the lab")
    def test_cpu_that_goes_and_comes_back(self):
        online = pathlib.Path(f"/sys/devices/system/cpu/cpu{CPUS[-1]}/online")
        name = f"cpu {CPUS[-1]}"

        def rows(tracer, wanted):
            """The row of that CPU in a new report in which it is there, or is not."""
            deadline = time.monotonic() + live.PATIENCE
            while time.monotonic() < deadline:
                tracer.wait_report(len(tracer.reports()) + 1)
                found = {row["entity"]["name"]: row for row in tracer.reports()[-1]["rows"]}
                if (name in found) == wanted:
                    return found
            raise AssertionError(f"expected {name} to be {'there' if wanted else 'away'}")

        with live.Tracer("runqlen", "--format", "json", 0.5) as tracer:
            tracer.wait_report(1)
            try:
                online.write_text("0")
                rows(tracer, wanted=False)
                missed = live.losses(tracer.reports(), "samples_missed")
                self.assertGreater(missed, RATE // 4, "expected its samples to be missed")
            finally:
                online.write_text("1")
            rows(tracer, wanted=True)
            tracer.wait_report(len(tracer.reports()) + 2)
            row = rows(tracer, wanted=True)[name]
            self.assertGreater(self.figures(row)["samples"], RATE * 0.5 / 2)
            tracer.stop()

    @live.measured
    def test_vms_of_one_cgroup(self):
        kvm.need_kvm()
        shared = self.cgroup("vms")
        guests = [self.enter(kvm.QemuGuest(name, spins=True, cgroup=shared, cpu=CPUS[-1]))
                  for name in ("web", "db")]
        for guest in guests:
            guest.pause()
        names = ["web", "db", "not in a vm"]
        report, waited = self.measure([*guests, self.waiters(shared, "spin", 1, CPUS[-1])], "--vm")
        rows = {row["entity"]["name"]: row for row in report["rows"]}
        late = self.late[CPUS[-1]]
        for name, mean in zip(names, waited):
            found = self.figures(rows[name])
            least = (0.95 - late) * mean
            # Beside the VMs there is more than the workload.
            most = (1.05 + late) * mean if name != "not in a vm" else float("inf")
            self.assertGreater(found["length"], least, "Little's law")
            self.assertLess(found["length"], most, "Little's law")
        self.assertEqual(rows["web"]["entity"]["pid"], guests[0].pid)

        more = self.waiters(shared, "spin", 1, CPUS[-1])
        report, (mean, *_) = self.measure([*guests, more], "--vm=web")
        (row,) = report["rows"]
        self.assertEqual(row["entity"]["name"], "web")
        late = self.late[CPUS[-1]]
        self.assertAlmostEqual(self.figures(row)["length"], mean, delta=(0.05 + late) * mean)

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


class WrongUsage(unittest.TestCase):
    def test_filters_by_task(self):
        for option in ("--pid=1", "--comm=x"):
            result = live.run("runqlen", option, "1", "1")
            live.check_failure(self, result, 2, f"has no {option.split('=')[0]}", "vtrace runqlat")
        text = live.run("runqlen", "--help").out
        for option in ("--pid", "--comm"):
            self.assertNotIn(option, text)


if __name__ == "__main__":
    unittest.main()
