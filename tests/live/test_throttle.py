# SPDX-License-Identifier: GPL-2.0-only
"""CPU quotas: what `vtrace throttle` says against cpu.stat, which is read before and after the reports."""

import contextlib
import os
import time
import unittest

import vtrace_live as live
from waiters_live import Waiters

SECONDS = 2.5
CPUS = sorted(os.sched_getaffinity(0))


def cpu_stat(cgroup):
    """The kernel's account; times in ns."""
    with open(cgroup.directory + b"/cpu.stat") as stat:
        fields = {name: int(value) for name, value in map(str.split, stat)}
    for old, new in (("throttled_usec", "throttled_time"), ("burst_usec", "burst_time")):
        if old in fields:
            fields[new] = 1000 * fields[old]
    return fields


class Throttle(live.TestCase):
    def setUp(self):
        super().setUp()
        self.cgroups = []

    def cgroup(self, suffix, parent=None):
        self.cgroups.append(self.enter(live.Cgroup(suffix, parent)))
        return self.cgroups[-1]

    def waiters(self, cgroup, *arguments):
        return self.enter(Waiters(cgroup, *arguments))

    def measure(self, workloads, *arguments, meanwhile=lambda: None):
        """Reports from before the workloads begin until all of them rest and the last throttling has ended."""
        with live.Tracer("throttle", *arguments, "--format", "json", 0.5) as tracer:
            tracer.wait_report()
            self.before = {cgroup.path: cpu_stat(cgroup) for cgroup in self.cgroups}
            for workload in workloads:
                workload.begin()
            time.sleep(SECONDS / 2)
            meanwhile()
            time.sleep(SECONDS / 2)
            for workload in workloads:
                workload.ask_to_rest()
            for workload in workloads:
                workload.rest()
            time.sleep(0.3)  # some periods are counted yet when nothing runs any more
            tracer.stop()
            return tracer.reports()[1:]

    def rows(self, reports, cgroup):
        rows = [live.row_of(report, cgroup.path) for report in reports]
        return [row for row in rows if row]

    def value(self, rows, name):
        return sum(row["metrics"][name]["value"] for row in rows)

    def check(self, reports, cgroup, waits=True):
        """The counts are the kernel's; with one task per CPU the distribution adds up to its time."""
        rows, before, after = self.rows(reports, cgroup), self.before[cgroup.path], cpu_stat(cgroup)
        grown = {name: after[name] - before[name] for name in after}
        held = sum(row["metrics"]["throttled_wait"]["sum"] for row in rows)
        print(
            f"\n    {cgroup.path}: cpu.stat {grown['throttled_time'] / 1e6:.1f} ms in"
            f" {grown['nr_throttled']} of {grown['nr_periods']} periods;"
            f" found {self.value(rows, 'throttled_time') / 1e6:.1f} ms, waits {held / 1e6:.1f} ms",
            flush=True,
        )
        self.assertGreater(grown["throttled_time"], 0.3e9, "the workload must have been throttled")
        # The account is read a moment before and after the reports.
        for name, ours, slack in (
            ("nr_periods", "periods", 2),
            ("nr_throttled", "throttled_periods", 2),
            ("throttled_time", "throttled_time", 0.02 * grown["throttled_time"]),
        ):
            self.assertAlmostEqual(self.value(rows, ours), grown[name], delta=slack, msg=name)
        if waits:
            # With two CPUs the waits come to 2 to 5 % more than the kernel's account; emulated, to 6 %.
            slack = (0.1 if live.EMULATED else 0.05) * grown["throttled_time"]
            self.assertAlmostEqual(held, grown["throttled_time"], delta=slack)
        return rows

    @live.measured
    def test_one_thread_per_cpu(self):
        limited, free = self.cgroup("limited"), self.cgroup("free")
        limited.limit(20_000, 100_000)
        loads = [self.waiters(limited, "spin", 1, cpu) for cpu in CPUS]
        reports = self.measure([*loads, self.waiters(free, "spin", 1, CPUS[0])])
        rows = self.check(reports, limited)
        metrics = rows[-1]["metrics"]
        self.assertEqual(metrics["quota"]["value"], 20e6)
        self.assertEqual(metrics["period"]["value"], 100e6)
        self.assertTrue(all(row["inherited_by"] == [] for row in rows))
        self.assertEqual(self.rows(reports, free), [], "without a quota a cgroup is not listed")

    @live.measured
    def test_a_quota_is_inherited(self):
        parent = self.cgroup("parent")
        parent.limit(20_000, 100_000)
        child = self.cgroup("child", parent)
        reports = self.measure([self.waiters(child, "spin", 1, CPUS[0])], f"--cgroup={parent.path}")
        rows = self.check(reports, parent)
        self.assertEqual(self.rows(reports, child), [], "it has none of its own")
        heirs = {heir["entity"]["cgroup"] for row in rows for heir in row["inherited_by"]}
        self.assertEqual(heirs, {child.path})

    @live.measured
    def test_nested_quotas_are_told_apart(self):
        parent = self.cgroup("outer")
        parent.limit(90_000, 100_000)
        child = self.cgroup("inner", parent)
        child.limit(10_000, 100_000)
        reports = self.measure([self.waiters(child, "spin", 1, CPUS[0])])
        self.check(reports, child)
        outer = self.rows(reports, parent)
        self.assertEqual(sum(row["metrics"]["throttled_wait"]["count"] for row in outer), 0)

    @live.measured
    def test_a_task_that_wakes_into_it(self):
        """Until 6.17 it wakes up throttled, later it is throttled as it leaves the kernel."""
        limited = self.cgroup("naps")
        limited.limit(5_000, 50_000)
        load = self.waiters(limited, "nap", 1, CPUS[0], 3_000)
        busy = self.waiters(limited, "spin", 1, CPUS[0])
        reports = self.measure([load, busy])
        rows = self.check(reports, limited, waits=False)
        held = sum(row["metrics"]["throttled_wait"]["sum"] for row in rows)
        time_of_cpu = self.value(rows, "throttled_time")
        self.assertGreater(held, time_of_cpu, "two tasks are held back at once")
        self.assertLess(held, 2.05 * time_of_cpu)

    @live.measured
    def test_a_quota_that_changes(self):
        limited = self.cgroup("changes")
        limited.limit(50_000, 100_000)
        reports = self.measure(
            [self.waiters(limited, "spin", 1, CPUS[0])],
            f"--cgroup={limited.path}",
            meanwhile=lambda: limited.limit(10_000, 50_000),
        )
        rows = self.check(reports, limited)
        quotas = [row["metrics"]["quota"]["value"] for row in rows]
        self.assertEqual((quotas[0], quotas[-1]), (50e6, 10e6))
        self.assertEqual(sum("was changed" in note for r in reports for note in r["notes"]), 1)

    @live.measured
    def test_burst(self):
        limited = self.cgroup("burst")
        limited.limit(5_000, 50_000)
        name = b"/cpu.cfs_burst_us" if limited.v1 else b"/cpu.max.burst"
        if not os.path.exists(limited.directory + name):
            self.skipTest("no CPU bursts: a kernel before 5.14")
        with open(limited.directory + name, "w") as burst:
            burst.write("4000")
        reports = self.measure([self.waiters(limited, "spin", 1, CPUS[0])])
        rows = self.check(reports, limited)
        before, after = self.before[limited.path], cpu_stat(limited)
        self.assertEqual(rows[-1]["metrics"]["burst"]["value"], 4e6)
        # A burst counts when its period ends, which may be after the last report.
        bursts = after["nr_bursts"] - before["nr_bursts"]
        self.assertGreater(bursts, 0, "there must have been bursts")
        self.assertAlmostEqual(self.value(rows, "bursts"), bursts, delta=1)
        self.assertLessEqual(
            self.value(rows, "burst_time"), after["burst_time"] - before["burst_time"]
        )

    @live.measured
    def test_cgroups_that_come_and_go(self):
        with live.Tracer("throttle", "--format", "json", 0.5) as tracer:
            tracer.wait_report()
            with contextlib.ExitStack() as short:
                made = short.enter_context(live.Cgroup("made"))
                made.limit(10_000, 50_000)
                load = short.enter_context(Waiters(made, "spin", 1, CPUS[0]))
                load.begin()
                time.sleep(1.6)
                at_the_end = cpu_stat(made)
            time.sleep(0.6)
            tracer.stop()
            reports = tracer.reports()
        rows = self.rows(reports, made)
        self.assertGreater(self.value(rows, "periods"), 0.3 * at_the_end["nr_periods"])
        self.assertLessEqual(self.value(rows, "periods"), at_the_end["nr_periods"] + 1)
        self.assertIsNone(live.row_of(reports[-1], made.path), "what has ended is gone")


if __name__ == "__main__":
    unittest.main()
