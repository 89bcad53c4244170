# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace states` against threads that do one known thing, and against the kernel's own accounts."""

import calendar
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

import vtrace_live as live
from test_blame import throttled_ns
from waiters_live import BUILD, Waiters, account, ran_ns

TICK = 1 / os.sysconf("SC_CLK_TCK")
STATES = (
    "user system guest running runnable throttled disk lock socket poll memory fault sleep pipe wait"
    " aio kthread stopped blocked other stolen unknown"
).split()
RUNNING = ("user", "system", "guest", "running")
# What wl_states does, and where its time goes.
KINDS = {
    "sleep": "sleep",
    "futex": "lock",
    "flock": "lock",
    "fcntl": "lock",
    "pipe": "pipe",
    "pipe40": "pipe",
    "pipe100": "pipe",
    "socket": "socket",
    "eventfd": "other",
    "poll": "poll",
    "child": "wait",
    "pause": "wait",
    "aio": "aio",
    "stopped": "stopped",
    "fault": "fault",
}


class Workload:
    """wl_states in a cgroup, from when it is ready until it is killed."""

    def __init__(self, cgroup, *arguments):
        self.process = subprocess.Popen(
            [BUILD / "wl_states", *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: cgroup.add(os.getpid()),
        )
        assert self.process.stdout.readline() == "ready\n", f"expected {arguments} to begin"
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def value(row, name):
    return row["metrics"][name]["value"]


def sums(reports, path):
    """ns by state of one cgroup over reports, and its thread time."""
    total = dict.fromkeys([*STATES, "thread_time", "states_sum"], 0)
    for row in filter(None, (live.row_of(report, path) for report in reports)):
        for name in total:
            total[name] += value(row, name)
    return total


def ran(total):
    return sum(total[name] for name in RUNNING)


class KernelAccount:
    """What the kernel has counted for all threads of a process: ns run, and waited for a CPU; ns in user and
    kernel mode by ticks."""

    def __init__(self, pid):
        self.run, self.delay = ran_ns(pid), account(pid).run_delay
        self.user, self.system = 0, 0
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            stat = (thread / "stat").read_bytes().rsplit(b")", 1)[1].split()
            self.user += int(int(stat[11]) * TICK * 1e9)
            self.system += int(int(stat[12]) * TICK * 1e9)


class States(live.TestCase):
    def cgroup(self, suffix):
        return self.enter(live.Cgroup(suffix))

    def trace(self, *arguments, interval=0.5):
        return self.enter(live.Tracer("states", *arguments, "--format", "json", interval))

    def check_sums(self, reports):
        """Each line sums to its thread time, and so does the whole."""
        for report in reports:
            time_of_all, sum_of_all = 0, 0
            for row in report["rows"]:
                states = sum(value(row, name) for name in STATES)
                known = states - value(row, "unknown")
                self.assertAlmostEqual(known, value(row, "states_sum"), delta=1000)
                shares = sum(value(row, name + "_share") for name in STATES)
                if states > 0:
                    self.assertAlmostEqual(shares, 1, delta=1e-4, msg=row["entity"]["name"])
                time_of_all += value(row, "thread_time")
                sum_of_all += value(row, "states_sum")
            print(f"\n    sum of states: {100 * sum_of_all / time_of_all:.3f} % of thread time", end="")
            self.assertAlmostEqual(sum_of_all / time_of_all, 1, delta=0.005)

    @live.measured
    def test_each_thread_is_found_in_what_it_does(self):
        workloads = {}
        for kind, state in KINDS.items():
            cgroup = self.cgroup(kind)
            workloads[kind] = (cgroup, state, self.enter(Workload(cgroup, kind)))
        live.until(lambda: live.state(workloads["stopped"][2].pid) == "T", "a process is stopped")
        tracer = self.trace()
        tracer.wait_report(3)
        tracer.stop()
        reports = tracer.reports()
        for kind, (cgroup, state, _) in workloads.items():
            total = sums(reports[1:3], cgroup.path)
            threads = 2 if kind in ("child", "flock", "fcntl") else 1
            duration = sum(r["duration_ns"] for r in reports[1:3])
            self.assertAlmostEqual(total["thread_time"], threads * duration, delta=0.02 * duration, msg=kind)
            expected = duration if kind in ("flock", "fcntl") else threads * duration
            print(f"\n    {kind}: {100 * total[state] / expected:.2f} % in {state}", end="")
            self.assertAlmostEqual(total[state], expected, delta=0.02 * expected, msg=f"{kind}: {total}")
        self.check_sums(reports)

    @live.measured
    def test_a_reason_that_is_older_than_vtrace_is_found(self):
        # As above, but here nothing switches at all while vtrace runs: one window.
        cgroup = self.cgroup("old")
        self.enter(Workload(cgroup, "futex"))
        tracer = self.trace(f"--cgroup={cgroup.path}", interval="1")
        tracer.wait_report()
        total = sums(tracer.reports()[:1], cgroup.path)
        self.assertGreater(total["lock"] / total["states_sum"], 0.999)

    def check_account(self, total, before, after, duration):
        """Against the kernel's account, within 2 % of the time of the threads that run."""
        delta = 0.02 * max(duration, after.run - before.run)
        print(
            f"\n    ran {ran(total) / 1e6:.2f} ms, kernel {(after.run - before.run) / 1e6:.2f};"
            f" runnable {total['runnable'] / 1e6:.2f} ms, kernel"
            f" {(after.delay - before.delay) / 1e6:.2f}; user {total['user'] / 1e6:.2f} ms, kernel"
            f" {(after.user - before.user) / 1e6:.2f}; system {total['system'] / 1e6:.2f} ms, kernel"
            f" {(after.system - before.system) / 1e6:.2f}",
            end="",
        )
        self.assertAlmostEqual(ran(total), after.run - before.run, delta=delta)
        self.assertAlmostEqual(
            total["runnable"] + total["throttled"], after.delay - before.delay, delta=delta
        )
        ticks = 4 * TICK * 1e9
        self.assertAlmostEqual(total["user"], after.user - before.user, delta=delta + ticks)
        self.assertAlmostEqual(total["system"], after.system - before.system, delta=delta + ticks)

    def of_waiters(self, *arguments, seconds=2):
        cgroup = self.cgroup("waiters")
        workload = self.enter(Waiters(cgroup, *arguments))
        tracer = self.trace("--cgroup", interval=0.4)
        tracer.wait_report()
        before = KernelAccount(workload.process.pid)
        begin = time.monotonic_ns()
        workload.begin()
        time.sleep(seconds)
        workload.ask_to_rest()
        workload.rest()
        duration = time.monotonic_ns() - begin
        after = KernelAccount(workload.process.pid)
        tracer.stop()
        reports = tracer.reports()[1:]
        total = sums(reports, cgroup.path)
        self.check_sums(reports)
        self.check_account(total, before, after, duration)
        return total, duration

    @live.measured
    def test_running_and_waiting_threads(self):
        self.of_waiters("spin", 3, 0)

    @live.measured
    def test_threads_that_sleep_and_work(self):
        total, duration = self.of_waiters("nap", 4, -1, 500)
        self.assertGreater(total["sleep"], 0.3 * 4 * duration, "half of the time, but for delays")

    @live.measured
    def test_quota(self):
        cgroup = self.cgroup("limited")
        cgroup.limit(20_000, 100_000)
        workload = self.enter(Workload(cgroup, "spin"))
        tracer = self.trace(f"--cgroup={cgroup.path}")
        tracer.wait_report()
        before, before_throttled = KernelAccount(workload.pid), throttled_ns(cgroup)
        tracer.wait_report(9)
        after, after_throttled = KernelAccount(workload.pid), throttled_ns(cgroup)
        reports = tracer.reports()[1:9]
        total = sums(reports, cgroup.path)
        duration = sum(r["duration_ns"] for r in reports)
        # The kernel adds a throttled stretch at its end (unthrottle_cfs_rq()), 80 ms at once.
        edge = 0.02 * duration + 80e6
        self.assertAlmostEqual(ran(total), after.run - before.run, delta=0.05 * duration)
        self.assertAlmostEqual(total["throttled"], after_throttled - before_throttled, delta=edge)
        self.check_sums(reports)

    @live.measured
    @unittest.skipIf(live.EMULATED, "the disk of the lab's machines is memory")
    def test_disk(self):
        cgroup = self.cgroup("disk")
        with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
            workload = self.enter(Workload(cgroup, "disk", os.path.join(directory, "file")))
            tracer = self.trace(f"--cgroup={cgroup.path}")
            tracer.wait_report()
            tracer.wait_report(3)
            reports = tracer.reports()[1:3]
            workload.process.kill()
            workload.process.wait()
        total = sums(reports, cgroup.path)
        off = total["states_sum"] - ran(total) - total["runnable"] - total["stolen"]
        print(f"\n    off the CPU {off / 1e6:.1f} ms, of it disk {total['disk'] / 1e6:.1f}", end="")
        if off < 0.05 * total["states_sum"]:
            self.skipTest("a file here is synced without a wait")
        self.assertGreater(total["disk"], 0.95 * off)
        self.check_sums(reports)

    @live.measured
    def test_a_storm_of_children(self):
        cgroup = self.cgroup("storm")
        tracer = self.trace("--cgroup", interval=0.3)
        tracer.wait_report()
        storm = self.enter(Workload(cgroup, "storm", 400, 1500))
        told = re.match(r"lived (\d+) (\d+) ran (\d+)", storm.process.stdout.readline())
        least, most, cpu = map(int, told.groups())
        done = time.monotonic_ns()
        tracer.stop()
        reports = tracer.reports()[1:]
        total = sums(reports, cgroup.path)
        after_it = time.monotonic_ns() - done
        print(
            f"\n    threads lived {least / 1e6:.1f} to {most / 1e6:.1f} ms, measured"
            f" {total['states_sum'] / 1e6:.1f}; ran {ran(total) / 1e6:.1f} ms, kernel {cpu / 1e6:.1f}",
            end="",
        )
        self.assertGreater(total["states_sum"], 0.98 * least)
        self.assertLess(total["states_sum"], 1.02 * most + after_it + 100e6)
        self.assertAlmostEqual(ran(total), cpu, delta=0.02 * cpu)
        self.check_sums(reports)

    @live.measured
    def test_a_process_that_moves_is_charged_where_it_is(self):
        first, second = self.cgroup("first"), self.cgroup("second")
        sleeper = self.enter(Workload(first, "sleep"))
        spinner = self.enter(Workload(first, "spin"))
        tracer = self.trace("--cgroup", interval=1)
        tracer.wait_report()
        time.sleep(0.6)
        before = time.time_ns()
        for workload in (sleeper, spinner):
            second.add(workload.pid)
        moved = (before + time.time_ns()) // 2
        time.sleep(0.2)
        cpus = os.sched_getaffinity(spinner.pid)
        for cpu in cpus:  # it switches at least once, long after the move
            os.sched_setaffinity(spinner.pid, {cpu})
        os.sched_setaffinity(spinner.pid, cpus)
        tracer.wait_report(2)
        tracer.stop()
        report = tracer.reports()[1]
        start = time_ns(report["start"])
        in_first, in_second = moved - start, start + report["duration_ns"] - moved
        # Emulated, each of these steps takes its time.
        delta = (0.1 if live.EMULATED else 0.02) * report["duration_ns"] + (moved - before)
        for cgroup, expected in ((first, in_first), (second, in_second)):
            total = sums([report], cgroup.path)
            print(f"\n    {cgroup.path}: {total['states_sum'] / 1e6:.1f} ms, expected 2 x {expected / 1e6:.1f}", end="")
            self.assertAlmostEqual(total["sleep"], expected, delta=delta)
            busy = ran(total) + total["runnable"] + total["stolen"]
            self.assertAlmostEqual(busy, expected, delta=delta)
        self.check_sums([report])

    @live.measured
    def test_threads(self):
        cgroup = self.cgroup("threads")
        workload = self.enter(Waiters(cgroup, "spin", 2, 0))
        workload.begin()
        tracer = self.trace(f"--pid={workload.process.pid}", "--threads")
        tracer.wait_report(3)
        tracer.stop()
        report = tracer.reports()[1]
        row = live.row_of(report, cgroup.path)
        tids = {int(t) for t in os.listdir(f"/proc/{workload.process.pid}/task")}
        self.assertEqual({t["entity"]["id"] for t in row["threads"]}, tids)
        for thread in row["threads"]:
            self.assertAlmostEqual(
                value(thread, "states_sum"), report["duration_ns"], delta=0.02 * report["duration_ns"]
            )
            is_main = thread["entity"]["id"] == workload.process.pid
            busy = sum(value(thread, name) for name in (*RUNNING, "runnable", "stolen"))
            self.assertAlmostEqual(
                busy, 0 if is_main else report["duration_ns"], delta=0.02 * report["duration_ns"]
            )
        for name in STATES:
            self.assertAlmostEqual(
                sum(value(t, name) for t in row["threads"]),
                value(row, name),
                delta=0.01 * value(row, "states_sum"),
                msg=name,
            )
        self.check_sums([report])

    @live.on_any_kernel
    def test_text(self):
        cgroup = self.cgroup("text")
        self.enter(Workload(cgroup, "pipe"))
        result = live.run("states", "--threads", f"--cgroup={cgroup.path}", 0.3, 1)
        self.assertEqual(result.code, 0, result.err)
        lines = result.out.splitlines()
        head = next(line for line in lines if line.startswith("CGROUP"))
        self.assertIn("PIPE", head)
        self.assertNotIn("SOCK", head, "a column that is empty is not shown")
        self.assertTrue(all(len(line) <= 80 for line in lines), result.out)
        row = next(line for line in lines if cgroup.path[-12:] in line)
        self.assertRegex(row, r" 100\.0$")
        self.assertRegex(result.out, r"each line sums to 100 %. Measured: (100\.0|99\.[5-9])")

    @live.on_any_kernel
    def test_wrong_usage(self):
        live.check_failure(self, live.run("states", "--thread", 1, 1), 2, "--thread")
        live.check_failure(self, live.run("states", "--slower", 1, 1, 1), 2, "--slower")
        live.check_failure(self, live.run("states", "--cgroup=/no/such", 1, 1), 2, "/no/such")


def time_ns(text):
    """A time in RFC 3339, of UTC with milliseconds, since 1970."""
    seconds, fraction = text.removesuffix("Z").split(".")
    whole = time.strptime(seconds + " UTC", "%Y-%m-%dT%H:%M:%S %Z")
    return calendar.timegm(whole) * 10**9 + int(fraction.ljust(9, "0"))


if __name__ == "__main__":
    unittest.main()
