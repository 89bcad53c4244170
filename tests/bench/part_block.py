# SPDX-License-Identifier: GPL-2.0-only
"""Part "block": cost per I/O, what it does to fio at full speed, and whether any request is missing.

The disk is a loop device over memory: nothing is faster, so nothing shows a tracer's cost more clearly.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass

import bpf
import tracers
from common import STOP_TIMEOUT, NotMeasured, stop
from measure import CLOSE_TO_ALL, EMPTY, SETTLE, Setup, interleaved
from table import Section, ratios, spread, times
from tracers import Tool

OF_PEER = 1 / 3
SLOWER_PERCENT = 8

COMPLETION = "block_rq_complete"
EMPTY_TWO = "empty programs on issue and completion"
EMPTIES = {EMPTY: [COMPLETION], EMPTY_TWO: ["block_rq_issue", COMPLETION]}

MEMORY = "/dev/shm"
MIB = 1 << 20
DISK_MIB = 256
UNCHANGED = 0.05  # seconds after which the kernel's count of a disk without I/O is its last


@dataclass(frozen=True)
class Disk:
    device: str

    @property
    def name(self) -> str:
        return pathlib.Path(self.device).name

    def reads(self) -> int:
        """Reads completed, of the kernel's own account."""
        for line in pathlib.Path("/proc/diskstats").read_text().splitlines():
            fields = line.split()
            if fields[2] == self.name:
                return int(fields[3])
        raise NotMeasured(f"/proc/diskstats does not have {self.name}")

    def reads_at_rest(self) -> int:
        """The same without I/O: the kernel counts a request after it has told who waits for it."""
        before = None
        while (now := self.reads()) != before:
            before = now
            time.sleep(UNCHANGED)
        return now


@dataclass(frozen=True)
class Fio:
    program: str
    disk: Disk

    def reads_per_second(self, seconds: float) -> float:
        command = [
            self.program, "--name=r", f"--filename={self.disk.device}", "--direct=1",
            "--rw=randread", "--bs=4k", "--ioengine=libaio", "--iodepth=16",
            f"--runtime={round(1000 * seconds)}ms", "--time_based", "--output-format=json",
        ]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                out, errors = process.communicate(timeout=seconds + STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                raise NotMeasured("fio did not end") from None
            finally:
                stop(process)
        if process.returncode != 0:
            raise NotMeasured(f"fio failed: {errors.strip()}")
        return json.loads(out)["jobs"][0]["read"]["iops"]


@contextlib.contextmanager
def loop_disk():
    """A disk of our own, that is there as long as its `with` block."""
    losetup = tracers.find("losetup")
    with tempfile.NamedTemporaryFile(prefix="vtbench-", dir=MEMORY) as file:
        # Written, as what is not would be read as a hole.
        for _ in range(DISK_MIB):
            file.write(bytes(MIB))
        file.flush()
        made = subprocess.run(
            [losetup, "--find", "--show", file.name], capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            raise NotMeasured(f"no loop device: {made.stderr.strip()}")
        device = made.stdout.strip()
        try:
            yield Disk(device)
        finally:
            subprocess.run([losetup, "--detach", device], check=False)


@dataclass(frozen=True)
class Attached:
    programs: set[int]
    on_completion: int


def on_completion(pid: int) -> int | None:
    """The program that a process has attached to completions."""
    directory = f"/proc/{pid}/fdinfo"
    with contextlib.suppress(OSError):  # the process has gone
        for name in os.listdir(directory):
            with contextlib.suppress(FileNotFoundError):
                lines = pathlib.Path(directory, name).read_text().splitlines()
                link = dict(line.split(":", 1) for line in lines if ":" in line)
                if link.get("tp_name", "").strip() == COMPLETION:
                    return int(link["prog_id"])
    return None


def wait_attached(running: tracers.Running) -> int:
    """Waits for the link, not for a run: of I/O that a tracer may or may not have seen, no count is exact."""
    while time.monotonic() < running.started + tracers.ATTACH_TIMEOUT:
        if (found := on_completion(running.process.pid)) is not None:
            return found
        running.check_alive()
        time.sleep(100 * tracers.POLL)
    raise NotMeasured(f"{running.tool.name}: nothing attached: {running.complaint()}")


@contextlib.contextmanager
def attached(name: str, tool: Tool | None):
    if tool is None:
        with contextlib.ExitStack() as stack:
            ids = [stack.enter_context(bpf.empty_raw_program(event)) for event in EMPTIES[name]]
            time.sleep(SETTLE)
            yield Attached(set(ids), ids[-1])
        return
    with tracers.started(tool) as running:
        completion = wait_attached(running)
        time.sleep(SETTLE)
        yield Attached(running.programs(), completion)
        running.check_alive()


def bpf_ns_per_io(own: Attached, name: str, fio: Fio, setup: Setup) -> float:
    """Nanoseconds that all programs of a tracer took together, per run of the one on completions."""
    with bpf.statistics():
        before, reads_before = bpf.programs(), fio.disk.reads_at_rest()
        fio.reads_per_second(setup.seconds)
        reads, after = fio.disk.reads_at_rest() - reads_before, bpf.programs()
    spent = sum(
        after[each].run_time_ns - before[each].run_time_ns
        for each in own.programs & before.keys() & after.keys()
    )
    completion = own.on_completion
    if completion not in before or completion not in after:
        raise NotMeasured(f"{name}: its program has gone")
    seen = after[completion].run_cnt - before[completion].run_cnt
    if not seen:
        raise NotMeasured(f"{name}: its program saw no completion")
    # More is no harm: other disks have I/O, too, and the time that it takes is in the sum.
    if seen < CLOSE_TO_ALL * reads:
        setup.problems.append(f"{name}: its program saw {seen} of {reads} completions")
    return spent / seen


@dataclass(frozen=True)
class Result:
    ns_per_io: float
    slower_percent: float
    alone: float  # reads a second with nothing attached


@dataclass(frozen=True)
class Ledger:
    """A report, against what the kernel counted of the disk in the same time."""

    counted: int
    completed: int
    loss: dict

    @property
    def lost(self) -> dict[str, int]:
        in_the_figures = {"recovered"}
        counts = {name: n for name, n in self.loss.items() if isinstance(n, int)}
        return {name: n for name, n in counts.items() if n and name not in in_the_figures}

    @property
    def equal(self) -> bool:
        """What the kernel showed to no program vtrace counts by itself."""
        unseen = self.lost.get("unseen", 0)
        return self.counted + unseen == self.completed and not self.lost.keys() - {"unseen"}


def requests(report: dict, disk: str) -> int:
    return sum(
        operation["metrics"]["count"]["value"]
        for row in report["rows"]
        for operation in row["operations"]
        if operation["entity"]["labels"]["disk"] == disk
    )


def measure_ledger(tool: Tool, fio: Fio, seconds: float) -> Ledger:
    """Of a whole run: its report is what it writes when it is interrupted."""
    before = fio.disk.reads_at_rest()
    with tracers.started(tool) as running:
        wait_attached(running)
        fio.reads_per_second(seconds)
        completed = fio.disk.reads_at_rest() - before
        running.process.send_signal(signal.SIGINT)
        running.wait_done(STOP_TIMEOUT)
        report = json.loads(running.output.read_text())
    return Ledger(requests(report, fio.disk.name), completed, report["loss"])


def part_block(setup: Setup) -> Section:
    program = tracers.find("fio")
    if not os.access(program, os.X_OK):
        raise NotMeasured(f"there is no {program}")
    with loop_disk() as disk:
        return compare(setup, Fio(program, disk))


def vtrace_biolatency(setup: Setup, *options: str) -> Tool:
    return Tool(
        " ".join(["vtrace biolatency", *options]),
        setup.vtrace,
        lambda seconds, count: ["biolatency", *options, str(seconds), str(count)],
    )


def compare(setup: Setup, fio: Fio) -> Section:
    subject, peer = vtrace_biolatency(setup, "--cgroup"), tracers.libbpf_tools("biolatency")
    tools = setup.present(subject, peer)
    window = 2 * setup.seconds
    before = fio.reads_per_second(window)

    def measure(name: str) -> Result:
        nonlocal before
        with attached(name, tools.get(name)) as own:
            traced = fio.reads_per_second(window)
            ns = bpf_ns_per_io(own, name, fio, setup)
        # Against the mean of before and after, as in part "small".
        after = fio.reads_per_second(window)
        alone, before = (before + after) / 2, after
        return Result(ns, 100 * (1 - traced / alone), alone)

    results = interleaved(setup, "block", [*EMPTIES, *tools], measure)
    section = Section(
        "Disks: 16 random reads of 4 KiB at a time from a loop device over memory",
        [
            "tracer",
            "of an empty program",
            "of libbpf-tools",
            "ns of BPF per I/O",
            "slows fio by, %",
            "targets",
        ],
    )
    cost = {name: [result.ns_per_io for result in of] for name, of in results.items()}
    for name, of in results.items():
        to_empty, to_peer = ratios(cost[name], cost.get(EMPTY)), ratios(cost[name], cost.get(peer.name))
        slower = [result.slower_percent for result in of]
        verdicts = []
        if name == subject.name:
            at_most, limit = setup.targets.at_most, SLOWER_PERCENT
            verdicts.append(at_most("≤ 1/3 of libbpf-tools", to_peer, OF_PEER))
            verdicts.append(at_most(f"slows fio by ≤ {limit} %", slower, limit))
        section.rows.append([
            name,
            times(to_empty),
            times(to_peer),
            spread(cost[name]),
            spread(slower, 1),
            ", ".join(verdicts),
        ])
    alone = [result.alone for of in results.values() for result in of]
    section.remarks.append(f"Untraced, fio reads {spread(alone)} times a second.")
    if subject.name in tools:
        section.remarks += ledger_remarks(setup, fio)
    return section


def ledger_remarks(setup: Setup, fio: Fio) -> list[str]:
    tool = vtrace_biolatency(setup, "--format", "json")
    ledgers = interleaved(
        setup, "block", [tool.name], lambda _: measure_ledger(tool, fio, 2 * setup.seconds)
    ).get(tool.name)
    if not ledgers:
        return []
    worst = max(ledgers, key=lambda each: (not each.equal, abs(each.counted - each.completed), each.completed))
    equal = setup.targets.holds("nothing of a run lost uncounted", all(each.equal for each in ledgers))
    return [
        f"{equal}. In the run with {'most requests' if worst.equal else 'the largest difference'}, "
        f"`/proc/diskstats` has {worst.completed:,} reads more than before, vtrace {worst.counted:,} "
        f"requests; of the counts in `loss`, not 0: `{json.dumps(worst.lost)}`."
    ]
