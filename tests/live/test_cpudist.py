# SPDX-License-Identifier: GPL-2.0-only
"""Time on and off a CPU, against the kernel's own account of the workload (schedstat) and its known sleeps."""

import os
import time
import unittest

import vtrace_live as live
from waiters_live import SECONDS, Waiters

CPU = min(os.sched_getaffinity(0))


class CpuDist(live.TestCase):
    def measure(self, load, metric, *arguments):
        """Count, sum and the last report's histogram of the workload's cgroup."""
        with live.Tracer("cpudist", *arguments, "--format", "json", 0.5) as tracer:
            tracer.wait_report()
            load.begin()
            time.sleep(SECONDS)
            load.ask_to_rest()
            load.rest()
            tracer.stop()
            reports = tracer.reports()[1:]
        rows = [row["metrics"][metric] for report in reports for row in report["rows"]]
        self.assertEqual(live.losses(reports, "map_full"), 0)
        return sum(m["count"] for m in rows), sum(m["sum"] for m in rows), rows

    def load(self, *arguments):
        self.of_load = self.enter(live.Cgroup("cpudist"))
        return self.enter(Waiters(self.of_load, *arguments))

    def check_slices(self, load, count, total):
        print(
            f"\n    slices: {total / 1e6:.3f} ms, kernel {load.ran / 1e6:.3f} ms;"
            f" count {count}, kernel {load.slices}",
            flush=True,
        )
        # The account leaves out what the hypervisor above took (steal): a slice does not.
        self.assertAlmostEqual(total, load.ran, delta=0.02 * load.ran)
        self.assertAlmostEqual(count, load.slices, delta=0.01 * load.slices + 2)

    @live.measured
    def test_slices_that_end_in_a_sleep(self):
        load = self.load("nap", 3, CPU, 400)
        count, total, _ = self.measure(load, "slice", f"--cgroup={self.of_load.path}")
        self.check_slices(load, count, total)

    @live.measured
    def test_slices_that_are_preempted(self):
        load = self.load("spin", 3, CPU)
        count, total, _ = self.measure(load, "slice", f"--cgroup={self.of_load.path}")
        self.check_slices(load, count, total)

    @live.measured
    def test_one_process_without_groups(self):
        load = self.load("nap", 2, -1, 300)
        count, total, _ = self.measure(load, "slice", "--pid", load.process.pid)
        self.check_slices(load, count, total)

    @live.measured
    def test_off_the_cpu(self):
        load = self.load("nap", 1, CPU, 3000)
        count, total, rows = self.measure(load, "offcpu", "--offcpu", f"--cgroup={self.of_load.path}")
        self.assertAlmostEqual(count, load.slices, delta=0.01 * load.slices + 2)
        # It sleeps for 3 ms each time, and waits then.
        sleeps = [m["p50"] for m in rows if m["count"] > 20]
        self.assertGreater(min(sleeps), 0.94 * 3e6)
        self.assertGreater(total, 0.9 * 3e6 * (load.slices - 2))

    @live.on_any_kernel
    def test_usage(self):
        live.check_failure(self, live.run("cpudist", "--slower", "1", "1", "1"), 2, "--slower")
        live.check_failure(self, live.run("cpudist", "--offcpu=x", "1", "1"), 2, "--offcpu")
        live.check_failure(self, live.run("cpudist", "--pid", "0", "1", "1"), 2, "--pid")

    @live.on_any_kernel
    def test_text(self):
        result = live.run("cpudist", "--cgroup", "0.5", "1")
        self.assertEqual(result.code, 0, result.err)
        self.assertIn("SLICES", result.out)
        self.assertEqual([line for line in result.out.splitlines() if len(line) > 80], [])


if __name__ == "__main__":
    unittest.main()
