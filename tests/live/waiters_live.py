# SPDX-License-Identifier: GPL-2.0-only
"""The workload tests/workloads/waiters.cpp and the kernel's account of it, /proc/PID/task/TID/schedstat."""

import collections
import os
import pathlib
import subprocess
import time

import vtrace_live as live

BUILD = pathlib.Path(os.environ.get("VTRACE_BUILD", live.ROOT / "build"))
SECONDS = 2.5

Account = collections.namedtuple("Account", "run_delay slices")


def account(pid):
    """The kernel's account of a process: ns waited and times given a CPU, over its threads.

    None of them has ended, so nothing is missing. Fields: ns run, ns waited, times given a CPU."""
    threads = pathlib.Path(f"/proc/{pid}/task").iterdir()
    fields = [(t / "schedstat").read_text().split() for t in threads]
    return Account(sum(int(f[1]) for f in fields), sum(int(f[2]) for f in fields))


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
        self.before = account(self.process.pid)
        self._tell()

    def ask_to_rest(self):
        self._tell()

    def rest(self):
        assert self.process.stdout.readline() == "resting\n", "expected the workload to rest"
        live.until(self._asleep, "the workload is asleep")
        after = account(self.process.pid)
        self.run_delay = after.run_delay - self.before.run_delay
        self.slices = after.slices - self.before.slices

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def measure(workloads, *arguments, prefix=(), interval=0.5, seconds=SECONDS):
    """Runs the workloads while vtrace measures; returns the reports after the first, which only
    shows that vtrace is there."""
    with live.Tracer(
        "runqlat", *arguments, "--format", "json", interval, prefix=prefix
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
