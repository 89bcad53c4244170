# SPDX-License-Identifier: GPL-2.0-only
"""The loads. What is started here stops with its `with` block."""

import array
import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field

from common import STOP_TIMEOUT, NotMeasured, context_switches, look_at_once, stop

SAMPLE_EVERY, SAMPLE_WITHIN = 0.03, 0.02  # seconds
LAST_SAMPLE_TRIES = 100


@dataclass(frozen=True)
class PingPong:
    program: str
    cpu: int

    def _command(self, seconds: float) -> list[str]:
        return [self.program, "--cpu", str(self.cpu), "--seconds", str(seconds)]

    def ns_per_trip(self, seconds: float) -> float:
        with subprocess.Popen(self._command(seconds), stdout=subprocess.PIPE, text=True) as process:
            try:
                out, _ = process.communicate(timeout=seconds + STOP_TIMEOUT)
            finally:
                stop(process)
        if process.returncode != 0:
            raise NotMeasured("the ping-pong failed")
        return json.loads(out)["ns_per_round_trip"]

    @contextlib.contextmanager
    def running(self, at_most: float, per_second: float = 0):
        """`per_second`: round trips; then with priority, to have that rate whatever else runs. 0: all it can."""
        command = self._command(at_most)
        if per_second:
            command = ["nice", "-n", "-20", *command, "--per-second", str(per_second)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Guest:
    """A VM that does nothing but leave its guest, in short rounds until it is stopped."""

    program: str
    cpu: int

    def possible(self) -> bool:
        return os.access("/dev/kvm", os.R_OK | os.W_OK) and os.access(self.program, os.X_OK)

    @contextlib.contextmanager
    def running(self):
        """Gives what tells how many rounds it has done."""
        command = ["taskset", "-c", str(self.cpu), self.program, "64", "64", "0", "--mmio=64"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        done = threading.Event()
        rounds = 0

        def feed() -> None:
            with contextlib.suppress(BrokenPipeError):
                while not done.is_set():
                    process.stdin.write(b"\n" * 256)
                    process.stdin.flush()

        def count() -> None:
            nonlocal rounds
            while block := os.read(process.stdout.fileno(), 65536):
                rounds += block.count(b"\n")

        threads = [threading.Thread(target=work, daemon=True) for work in (feed, count)]
        for thread in threads:
            thread.start()
        try:
            yield lambda: rounds
        finally:
            done.set()
            process.kill()
            process.wait()
            for thread in threads:
                thread.join()
            process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


def cpu_hierarchy() -> str:
    """Where cgroups that schedule are made: the v1 cpu hierarchy if there is one, else v2."""
    v2 = None
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ")
        mount_point = before.split()[4]
        kind, _, options = after.split(maxsplit=2)
        if kind == "cgroup" and "cpu" in options.split(","):
            return mount_point
        if kind == "cgroup2":
            v2 = mount_point
    if v2 is None:
        raise NotMeasured("no cgroup hierarchy is mounted")
    return v2


def remove_cgroups(root: pathlib.Path) -> None:
    """What a killed herd left behind."""
    for path, _, _ in os.walk(root, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)


@dataclass
class Herd:
    """A running herd. Its wake-ups are the second source for a tracer's counts."""

    name: str  # of the cgroup above all of its cgroups
    counters: pathlib.Path
    samples: list[tuple[float, int, int]] = field(default_factory=list)

    def holds(self, cgroup: str) -> bool:
        return f"/{self.name}/" in cgroup

    def wakeups(self) -> int:
        return sum(array.array("Q", self.counters.read_bytes()))

    @contextlib.contextmanager
    def sampled(self):
        """Keeps (time of day, wake-ups, context switches) while it lasts."""
        self.samples = []
        done = threading.Event()

        def sample() -> bool:
            start = time.time()
            counts = self.wakeups(), context_switches()
            end = time.time()
            if end - start > SAMPLE_WITHIN:
                return False  # interrupted by the herd: it is not known when this was
            self.samples.append(((start + end) / 2, *counts))
            return True

        def keep_sampling() -> None:
            look_at_once()
            while not done.wait(SAMPLE_EVERY):
                sample()
            any(sample() for _ in range(LAST_SAMPLE_TRIES))

        thread = threading.Thread(target=keep_sampling)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def between(self, start: float, end: float) -> tuple[float, float]:
        """Wake-ups and context switches of that time, interpolated."""
        if not self.samples or start < self.samples[0][0] or end > self.samples[-1][0]:
            raise NotMeasured("the herd's counts do not cover the report")
        (w0, c0), (w1, c1) = self._at(start), self._at(end)
        return w1 - w0, c1 - c0

    def _at(self, moment: float) -> tuple[float, float]:
        for (t0, *low), (t1, *high) in zip(self.samples, self.samples[1:]):
            if t0 <= moment <= t1:
                share = (moment - t0) / (t1 - t0)
                return tuple(a + (b - a) * share for a, b in zip(low, high))
        raise AssertionError("between() has checked this")


@contextlib.contextmanager
def herd(program: str, cgroups: int, threads: int, period_us: int):
    root = pathlib.Path(cpu_hierarchy(), f"vtbench-{os.getpid()}")
    # Not on a disk, which would write the counters out all the time.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="vtbench-", dir=memory) as directory:
        counters = pathlib.Path(directory, "wakeups")
        command = [program, "--root", str(root), "--wakeups", str(counters)]
        command += ["--cgroups", str(cgroups), "--threads", str(threads)]
        command += ["--period-us", str(period_us)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            if process.stdout.readline().strip() != "ready":
                raise NotMeasured("the herd did not start")
            yield Herd(root.name, counters)
        finally:
            stop(process)
            process.stdin.close()
            process.stdout.close()
            remove_cgroups(root)
