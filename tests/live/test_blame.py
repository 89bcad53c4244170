# SPDX-License-Identifier: GPL-2.0-only
"""Who made a task wait: known culprits, and the kernel's own accounts (cpu.stat, schedstat) as oracles."""

import os
import subprocess
import time
import unittest

import vtrace_live as live
from waiters_live import SECONDS, Waiters, measure

CPUS = sorted(os.sched_getaffinity(0))


def throttled_ns(cgroup):
    """The kernel's account, summed over its CPUs."""
    with open(cgroup.directory + b"/cpu.stat") as stat:
        fields = dict(line.split() for line in stat)
    if "throttled_time" in fields:  # v1
        return int(fields["throttled_time"])
    return int(fields["throttled_usec"]) * 1000


class Split:
    """The parts of one victim's wait, summed over reports, in ns.

    Shares are without what cgroups outside this test took: the host may do other things meanwhile, and it is
    right to name them. So are they without the part of class `other` that the hypervisor took: no more than
    `stolen`, which is the kernel's account of it."""

    CLASSES = ("throttled", "self", "neighbour", "kernel", "forced_idle", "other", "unknown")

    def __init__(self, reports, path, stolen=0):
        self.wait, self.classes, self.culprits = 0, dict.fromkeys(self.CLASSES, 0), {}
        self.outside = 0
        for row in filter(None, (live.row_of(report, path) for report in reports)):
            self.wait += row["metrics"]["wait"]["sum"]
            for name in self.CLASSES:
                self.classes[name] += row["metrics"][name]["value"]
            for culprit in row["culprits"]:
                entity = culprit["entity"]
                name = entity["cgroup"] or f"{entity['kind']}:{entity['name']}"
                held = culprit["metrics"]["wait"]["sum"]
                self.culprits[name] = self.culprits.get(name, 0) + held
                if entity["cgroup"] and "vtrace-test" not in entity["cgroup"]:
                    self.outside += held
        self.stolen = min(self.classes["other"], stolen)
        self.counted = max(self.wait - self.outside - self.stolen, 1)
        shares = ", ".join(f"{n} {100 * self.share(n):.2f} %" for n in self.CLASSES)
        print(f"\n    {path}: wait {self.wait / 1e6:.1f} ms, of others {self.outside / 1e6:.1f},"
              f" stolen {self.stolen / 1e6:.1f} of at most {stolen / 1e6:.0f}: {shares}", flush=True)

    def share(self, name):
        elsewhere = {"neighbour": self.outside, "other": self.stolen}
        return (self.classes[name] - elsewhere.get(name, 0)) / self.counted

    def by(self, culprit):
        return self.culprits.get(culprit, 0) / self.counted


class Blame(live.TestCase):
    def cgroup(self, suffix, parent=None):
        return self.enter(live.Cgroup(suffix, parent))

    def waiters(self, cgroup, *arguments):
        return self.enter(Waiters(cgroup, *arguments))

    def measure(self, workloads, *arguments, seconds=SECONDS):
        with live.Stolen() as self.stolen:
            return measure(workloads, *arguments, tool="blame", seconds=seconds)

    def split(self, reports, path, threads=1, cpus=CPUS[:1]):
        """Of a victim with so many threads that may wait at a time, on these CPUs."""
        return Split(reports, path, threads * self.stolen.ns(*cpus))

    def check_sum(self, split):
        """The parts make up the whole."""
        self.assertAlmostEqual(
            sum(split.classes.values()), split.wait, delta=0.002 * split.wait, msg=split.classes
        )

    @live.measured
    def test_the_own_quota(self):
        limited = self.cgroup("quota")
        limited.limit(20_000, 100_000)
        loads = [self.waiters(limited, "spin", 1, cpu) for cpu in CPUS]
        before = throttled_ns(limited)
        reports = self.measure(loads, f"--cgroup={limited.path}")
        throttled = throttled_ns(limited) - before
        split = self.split(reports, limited.path, cpus=CPUS)
        print(f"    cpu.stat: {throttled / 1e6:.1f} ms, found {split.classes['throttled'] / 1e6:.1f} ms")
        self.assertGreater(throttled, 0.5e9)
        self.assertAlmostEqual(split.classes["throttled"], throttled, delta=0.05 * throttled)
        self.assertLess(split.share("neighbour"), 0.02)
        self.check_sum(split)

    @live.measured
    def test_a_quota_above(self):
        """The child is limited by its parent's quota only."""
        parent = self.cgroup("above")
        parent.limit(20_000, 100_000)
        child = self.cgroup("below", parent)
        load = self.waiters(child, "spin", 1, CPUS[0])
        before = throttled_ns(parent)
        reports = self.measure([load], f"--cgroup={parent.path}")
        throttled = throttled_ns(parent) - before
        split = self.split(reports, child.path)
        self.assertAlmostEqual(split.classes["throttled"], throttled, delta=0.05 * throttled)

    @live.measured
    def test_a_quota_beside_a_hog(self):
        """Behind its quota and behind a neighbour on the same CPU: told apart."""
        limited, hog = self.cgroup("limited"), self.cgroup("hog")
        limited.limit(20_000, 100_000)
        load = self.waiters(limited, "spin", 1, CPUS[0])
        beside = self.waiters(hog, "spin", 1, CPUS[0])
        before = throttled_ns(limited)
        reports = self.measure([beside, load], "--cgroup")
        throttled = throttled_ns(limited) - before
        split = self.split(reports, limited.path)
        self.assertAlmostEqual(split.classes["throttled"], throttled, delta=0.05 * throttled)
        self.assertGreater(split.by(hog.path) + split.share("throttled"), 0.95)
        self.assertGreater(split.by(hog.path), 0.05, "the hog had the CPU between the throttlings")
        # The hog waits for no quota, but for its neighbour.
        other = self.split(reports, hog.path)
        self.assertEqual(other.classes["throttled"], 0)
        self.assertGreater(other.by(limited.path), 0.9)

    @live.measured
    def test_a_neighbour(self):
        victim, hog = self.cgroup("victim"), self.cgroup("hog")
        loads = [self.waiters(cgroup, "spin", 1, CPUS[0]) for cgroup in (victim, hog)]
        reports = self.measure(loads, "--cgroup")
        for path, culprit, load in ((victim.path, hog.path, loads[0]), (hog.path, victim.path, loads[1])):
            split = self.split(reports, path)
            self.assertAlmostEqual(split.wait, load.run_delay, delta=0.01 * load.run_delay)
            self.assertGreater(split.by(culprit), 0.95, split.culprits)
            self.assertGreater(split.share("neighbour"), 0.95)
            self.check_sum(split)

    @live.measured
    def test_the_neighbour_of_a_filtered_victim(self):
        """Who is not asked for is no victim, but a culprit all the same."""
        victim, hog = self.cgroup("victim"), self.cgroup("hog")
        loads = [self.waiters(cgroup, "spin", 1, CPUS[0]) for cgroup in (victim, hog)]
        reports = self.measure(loads, f"--cgroup={victim.path}")
        self.assertGreater(self.split(reports, victim.path).by(hog.path), 0.95)
        self.assertEqual(
            {row["entity"]["cgroup"] for report in reports for row in report["rows"]}, {victim.path}
        )

    @live.measured
    def test_itself(self):
        cgroup = self.cgroup("self")
        reports = self.measure([self.waiters(cgroup, "spin", 4, CPUS[0])], "--cgroup")
        split = self.split(reports, cgroup.path, threads=4)
        self.assertGreater(split.share("self"), 0.95)
        self.check_sum(split)

    @live.measured
    def test_two_hogs_by_weight(self):
        victim, heavy, light = (self.cgroup(name) for name in ("victim", "heavy", "light"))
        for cgroup, weight in ((heavy, 3), (light, 1)):
            cgroup.weigh(weight)
        loads = [self.waiters(cgroup, "spin", 1, CPUS[0]) for cgroup in (victim, heavy, light)]
        reports = self.measure(loads, "--cgroup", seconds=2 * SECONDS)
        used = [load.ran for load in loads[1:]]
        split = self.split(reports, victim.path)
        by_both = split.by(heavy.path) + split.by(light.path)
        share = split.by(heavy.path) / by_both
        kernels = used[0] / sum(used)
        print(f"    of the heavy one {100 * share:.1f} %, of the CPU it used {100 * kernels:.1f} %")
        self.assertGreater(by_both, 0.95)
        self.assertAlmostEqual(share, 0.75, delta=0.05)
        self.assertAlmostEqual(share, kernels, delta=0.05)

    @live.measured
    def test_waits_that_move_between_cpus(self):
        """More threads than CPUs, on any of them: the pieces on each CPU are charged there."""
        victim, hog = self.cgroup("victim"), self.cgroup("hog")
        a = self.waiters(victim, "spin", 3, -1)
        b = self.waiters(hog, "spin", 4, -1)
        c = self.waiters(hog, "nap", 4, -1, 500)
        reports = self.measure([a, b, c], "--cgroup")
        split = self.split(reports, victim.path, threads=3, cpus=CPUS)
        print(f"    kernel: {a.run_delay / 1e6:.1f} ms", flush=True)
        self.assertAlmostEqual(split.wait, a.run_delay, delta=0.01 * a.run_delay)
        self.assertLess(split.share("unknown"), 0.05)
        # Who shares a CPU with whom is the load balancer's choice.
        self.assertGreater(split.share("self") + split.by(hog.path), 0.74)
        self.check_sum(split)

    @live.measured
    def test_fork_storm_of_victims_that_exit(self):
        """A thousand short processes beside a hog: each waits, and none is left out."""
        storm, hog = self.cgroup("storm"), self.cgroup("hog")
        load = self.waiters(hog, "spin", 1, CPUS[0])
        with (
            live.Stolen() as self.stolen,
            live.Tracer("blame", "--cgroup", "--format", "json", 0.5) as tracer,
        ):
            tracer.wait_report()
            load.begin()
            subprocess.run(
                ["sh", "-c", "i=0; while [ $i -lt 1000 ]; do (:); i=$((i+1)); done"],
                check=True,
                preexec_fn=lambda: (storm.add(os.getpid()), os.sched_setaffinity(0, {CPUS[0]})),
            )
            load.ask_to_rest()
            load.rest()
            tracer.stop()
            reports = tracer.reports()[1:]
        split = self.split(reports, storm.path, threads=2)
        count = live.total(reports, storm.path)
        lost = sum(live.losses(reports, key) for key in ("missed_start", "task_failed", "map_full"))
        print(f"    {count} waits, {lost} lost and counted")
        self.assertGreaterEqual(count + lost, 1000, "each process waited at least once")
        self.assertLess(split.share("unknown"), 0.05)
        self.assertGreater(split.by(hog.path), 0.5)

    @live.measured
    def test_a_wait_that_goes_on(self):
        """Still throttled when the report ends: there, with its age and by what."""
        limited = self.cgroup("open")
        load = self.waiters(limited, "spin", 1, CPUS[0])
        limited.limit(10_000, 1_000_000)
        with live.Tracer("blame", f"--cgroup={limited.path}", "--format", "json", 0.2) as tracer:
            tracer.wait_report()
            load.begin()
            time.sleep(1.2)
            tracer.stop()
            limited.unlimit()
            reports = tracer.reports()[1:]
        waits = [w for report in reports for w in report["open"]]
        longest = max(waits, key=lambda w: w["age_ns"])
        self.assertGreater(longest["age_ns"], 0.4e9)
        held = {part["entity"]["name"]: part["ns"] for part in longest["held_by"]}
        self.assertGreater(held.get("throttled", 0), 0.95 * longest["age_ns"], held)

    @live.measured
    def test_starved_by_a_real_time_hog(self):
        """Never given a CPU in the window: there, with its age and its culprit so far."""
        victim = self.cgroup("starved")
        load = self.waiters(victim, "spin", 1, CPUS[0])
        with (
            live.Stolen() as stolen,
            live.Tracer("blame", "--cgroup", "--format", "json", 0.2) as tracer,
        ):
            tracer.wait_report()
            load.begin()
            with live.Child(spin_in_real_time, cpu=CPUS[0], name=b"rt-hog") as hog:
                time.sleep(1)
                path = live.CgroupOf(hog.pid).path
            tracer.stop()
            reports = tracer.reports()[1:]
        waits = [w for r in reports for w in r["open"] if w["entity"]["cgroup"] == victim.path]
        longest = max(waits, key=lambda w: w["age_ns"])
        self.assertGreater(longest["age_ns"], 0.3e9)
        held = {part["entity"]["cgroup"] or part["entity"]["name"]: part["ns"] for part in longest["held_by"]}
        taken = min(held.get("steal", 0), stolen.ns(CPUS[0]))
        self.assertGreater(held.get(path, 0), 0.9 * (longest["age_ns"] - taken), (path, longest))

    @live.on_any_kernel
    def test_usage(self):
        live.check_failure(self, live.run("blame", "--slower", "1", "1", "1"), 2, "--slower")
        live.check_failure(self, live.run("blame", "--cgroup=/no/such", "1", "1"), 2, "/no/such")
        live.check_failure(self, live.run("blame", "1", "1", "1"), 2, "1")

    @live.on_any_kernel
    def test_text_is_80_columns_wide(self):
        victim, hog = self.cgroup("victim" + "x" * 60), self.cgroup("hog" + "y" * 60)
        loads = [self.waiters(cgroup, "spin", 1, CPUS[0]) for cgroup in (victim, hog)]
        for load in loads:
            load.begin()
        result = live.run("blame", "--cgroup", "1", "1")
        self.assertEqual(result.code, 0, result.err)
        self.assertEqual([line for line in result.out.splitlines() if len(line) > 80], [])
        self.assertRegex(result.out, r"CGROUP +WAIT THROTTLED +SELF NEIGHBOUR KERNEL +OTHER UNKNOWN")
        self.assertIn("HELD BY", result.out)


def spin_in_real_time(child):
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    while True:
        pass


if __name__ == "__main__":
    unittest.main()
