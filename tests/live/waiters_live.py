# SPDX-License-Identifier: GPL-2.0-only
"""The workload tests/workloads/waiters.cpp and the kernel's account of it, /proc/PID/task/TID/schedstat."""

import collections
import contextlib
import os
import pathlib
import subprocess
import threading
import time
import unittest

import vtrace_live as live

BUILD = pathlib.Path(os.environ.get("VTRACE_BUILD", live.ROOT / "build"))
SECONDS = 2.5

Account = collections.namedtuple("Account", "run_delay slices")


def accounts(pid):
    """The kernel's account of a process: {tid: ns waited and times given a CPU}.

    Fields: ns run, ns waited, times given a CPU."""
    found = {}
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            _, delay, slices = (thread / "schedstat").read_text().split()
            found[thread.name] = Account(int(delay), int(slices))
    return found


def ran_ns(pid):
    """CPU time of the threads that a process has now, by the kernel's account."""
    threads = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


def account(pid, before=None):
    """The sum of its threads, since what accounts() found `before`. Of those that have ended nothing is
    in it."""
    zero = Account(0, 0)
    found = [(of_one, (before or {}).get(tid, zero)) for tid, of_one in accounts(pid).items()]
    return Account(*(sum(now[i] - then[i] for now, then in found) for i in (0, 1)))


class Waiters:
    """The workload in a cgroup. begin() and rest() are the ends of what the kernel accounts."""

    def __init__(self, cgroup, *arguments):
        self.process = subprocess.Popen(
            [BUILD / "wl_waiters", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Into the cgroup before it starts a thread.
            preexec_fn=lambda: cgroup.add(os.getpid()) if cgroup else None,
        )
        assert self.process.stdout.readline() == "ready\n", "expected the workload to start"
        live.until(self._asleep, "all threads of the workload have started and sleep")

    def _asleep(self):
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return all((t / "stat").read_text().rsplit(")", 1)[1].split()[0] == "S" for t in threads)

    def _tell(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def begin(self):
        self.before = accounts(self.process.pid)
        self._ran_before = ran_ns(self.process.pid)
        self._tell()

    def ask_to_rest(self):
        self._tell()

    def rest(self):
        assert self.process.stdout.readline() == "resting\n", "expected the workload to rest"
        live.until(self._asleep, "the workload is asleep")
        self.run_delay, self.slices = account(self.process.pid, self.before)
        self.ran = ran_ns(self.process.pid) - self._ran_before

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class HostAccount:
    """The kernel's account of the whole host, /proc/schedstat: ns waited, and how often a CPU was given, at
    any time while it was watched. Fields of a line `cpuN`: the 8th and the 9th (sched-stats.rst)."""

    PATH = pathlib.Path("/proc/schedstat")

    def __init__(self):
        if not self.PATH.exists():
            raise unittest.SkipTest(f"no {self.PATH}: a kernel without CONFIG_SCHEDSTATS")
        self._seen = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._stop.wait(0.005):
            before = time.time()
            lines = [line.split() for line in self.PATH.read_text().splitlines()]
            lines = [line for line in lines if line[0].startswith("cpu")]
            when = (before + time.time()) / 2
            self._seen.append((when, sum(int(f[8]) for f in lines), sum(int(f[9]) for f in lines)))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _at(self, when):
        after = next(i for i, seen in enumerate(self._seen) if seen[0] >= when)
        (t, *left), (u, *right) = self._seen[after - 1], self._seen[after]
        return [a + (b - a) * (when - t) / (u - t) for a, b in zip(left, right)]

    def between(self, start, end):
        """The account of a time, from second to second since 1970."""
        return Account(*(round(b - a) for a, b in zip(self._at(start), self._at(end))))


def measure(workloads, *arguments, tool="runqlat", prefix=(), interval=0.5, seconds=SECONDS):
    """Runs the workloads while vtrace measures; returns the reports after the first, which only
    shows that vtrace is there."""
    with live.Tracer(
        tool, *arguments, "--format", "json", interval, prefix=prefix
    ) as tracer:
        tracer.wait_report()
        for workload in workloads:
            workload.begin()
        time.sleep(seconds)
        for workload in workloads:
            workload.ask_to_rest()
        for workload in workloads:
            workload.rest()
        tracer.stop()
        return tracer.reports()[1:]
