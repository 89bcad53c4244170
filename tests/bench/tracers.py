# SPDX-License-Identifier: GPL-2.0-only
"""The tracers under comparison. What is started here stops with its `with` block."""

import contextlib
import os
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import bpf
from common import NotMeasured, stop

ATTACH_TIMEOUT = 60  # seconds
POLL = 0.0002  # between looks for the first run; each sleep is itself a context switch that runs it
LONGEST = 300  # seconds; a tracer ends by itself should the bench be killed

BPFTRACE = """
tracepoint:sched:sched_wakeup, tracepoint:sched:sched_wakeup_new { @queued[args->pid] = nsecs; }
tracepoint:sched:sched_switch {
  if (args->prev_state == 0) { @queued[args->prev_pid] = nsecs; }
  $start = @queued[args->next_pid];
  if ($start) { @usecs = hist((nsecs - $start) / 1000); }
  delete(@queued[args->next_pid]);
}
interval:s:%d { print(@usecs); clear(@usecs); }
interval:s:%d { exit(); }
END { clear(@queued); clear(@usecs); }
"""


@dataclass(frozen=True)
class Tool:
    """One tracer, and its arguments for COUNT reports of SECONDS each."""

    name: str
    program: str
    arguments: Callable[[int, int], list[str]]

    def missing(self) -> bool:
        return not os.access(self.program, os.X_OK)


def find(program: str) -> str:
    for directory in [*os.get_exec_path(), "/usr/sbin"]:
        if os.access(path := f"{directory}/{program}", os.X_OK):
            return path
    return f"/usr/sbin/{program}"


def vtrace(path: str, *options: str) -> Tool:
    name = "vtrace runqlat --cgroup" if "--cgroup" in options else "vtrace runqlat"
    return Tool(name, path, lambda seconds, count: ["runqlat", *options, str(seconds), str(count)])


def libbpf_tools(name: str = "runqlat") -> Tool:
    return Tool(
        f"libbpf-tools {name}",
        find(name),
        lambda seconds, count: [str(seconds), str(count)],
    )


def bpftrace() -> Tool:
    return Tool(
        "bpftrace runqlat",
        find("bpftrace"),
        lambda seconds, count: ["-e", BPFTRACE % (seconds, seconds * count)],
    )


@dataclass
class Running:
    """A started tracer. `attached_after` is known once wait_attached() has returned."""

    tool: Tool
    process: subprocess.Popen
    output: pathlib.Path
    errors: pathlib.Path
    started: float
    programs_before: int
    attached_after: float = 0

    def wait_attached(self) -> None:
        """Waits for the first run of a program of this tool on sched_switch.

        That is the moment from which it sees something, and it is found alike for every way to
        attach (link, raw tracepoint, perf event). Of classic tracepoints, where the kernel does not
        tell which is which, any will do. Statistics must be on.
        """
        with contextlib.ExitStack() as stack:
            candidates = []
            newest = self.programs_before
            while time.monotonic() < self.started + ATTACH_TIMEOUT:
                while (found := bpf.next_id(newest)) is not None:
                    newest = found
                    if (fd := bpf.open_program(found)) is not None:
                        stack.callback(os.close, fd)
                        candidates.append(fd)
                looked_at = map(bpf.program, candidates)
                ran = {p.id for p in looked_at if p.run_cnt and (p.on_switch or p.tracepoint)}
                now = time.monotonic()
                if ran and ran & self.programs():
                    self.attached_after = now - self.started
                    return
                if self.process.poll() is not None:
                    break
                time.sleep(POLL)
        raise NotMeasured(f"{self.tool.name}: nothing attached: {self.complaint()}")

    def wait_any_run(self) -> set[int]:
        """Waits until one of its programs has run, and gives them: all are loaded by then. Statistics must be on."""
        while time.monotonic() < self.started + ATTACH_TIMEOUT:
            own = self.programs()
            if any(p.id in own and p.run_cnt for p in bpf.programs().values()):
                return own
            self.check_alive()
            time.sleep(100 * POLL)
        raise NotMeasured(f"{self.tool.name}: nothing attached: {self.complaint()}")

    def programs(self) -> set[int]:
        return bpf.owned_by(self.process.pid)

    def check_alive(self) -> None:
        if self.process.poll() is not None:
            raise NotMeasured(f"{self.tool.name}: ended too early: {self.complaint()}")

    def complaint(self) -> str:
        said = self.errors.read_text(errors="replace").strip().splitlines()
        code = self.process.poll()
        state = "still running" if code is None else f"exit code {code}"
        return f"{state}, {said[-1] if said else 'no message'}"

    def wait_done(self, timeout: float) -> None:
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"{self.tool.name}: did not end") from None
        if code != 0:
            raise NotMeasured(f"{self.tool.name}: {self.complaint()}")

    def peak_rss(self, timeout: float) -> int:
        """Waits for the end; gives the peak resident bytes.

        From /proc, as a child's ru_maxrss starts with what its parent (here Python) had.
        """
        peak = 0
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise NotMeasured(f"{self.tool.name}: did not end")
            for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peak = max(peak, int(line.split()[1]))
            time.sleep(0.005)
        self.wait_done(1)
        return peak * 1024


@contextlib.contextmanager
def started(tool: Tool, seconds: int = LONGEST, count: int = 1):
    with tempfile.TemporaryDirectory(prefix="vtbench-") as name:
        output, errors = pathlib.Path(name, "out"), pathlib.Path(name, "err")
        with output.open("wb") as out, errors.open("wb") as err:
            command = [tool.program, *tool.arguments(seconds, count)]
            before = bpf.last_id()
            start = time.monotonic()
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            try:
                yield Running(tool, process, output, errors, start, before)
            finally:
                stop(process)
