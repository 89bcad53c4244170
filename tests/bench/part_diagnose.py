# SPDX-License-Identifier: GPL-2.0-only
"""Part "diagnose": what `vtrace diagnose` takes of one CPU, in its programs and itself, at given rates of events.

Samples of all counters are taken all the time, as only its report tells when it has measured.
"""

import collections
import contextlib
import datetime
import json
import os
import pathlib
import resource
import subprocess
import threading
import time
from dataclasses import dataclass

import bpf
import tracers
from common import NotMeasured, context_switches, look_at_once, stop
from measure import EMPTY, Setup, interleaved, ns_by_event
from part_block import Disk, loop_disk
from table import Section, median, spread
from tracers import Tool

SWITCHES = 50_000  # a second, of all that runs
READS = 20_000
GOAL_PERCENT = 2
ENOUGH = 0.9  # of these rates, that a figure is one at them
WINDOW = 10  # times the bench's: cost of what is done a few times a second comes out, too
SAMPLE_EVERY = 0.1  # seconds
LARGEST = 8  # programs in the table
OF_SWITCHES = "sched_switch"  # so begin the names of programs that run at each
RUN_BY_VTRACE = ("block_find_open", "block_find_held")  # in its own CPU time, too
LOADS_MORE = 60  # seconds that loads last beyond the window, at most: start, report

EMPTY_HOST, LOADED, NARROWED = "no load", "loads", "loads, --cgroup of no thread"


@dataclass(frozen=True)
class Sample:
    time: float  # of day
    programs: dict[int, bpf.Program]
    cpu_ns: int  # of the process
    switches: int
    reads: int


@dataclass(frozen=True)
class Result:
    percent: dict[str, float]  # of a CPU, by the name of programs: a hook may have several
    own_percent: float
    once_ms: float  # of CPU time, at the start and for the report
    switches: float  # a second
    reads: float
    empty_ns: float  # what a run of an empty program on sched_switch takes just before

    @property
    def in_programs(self) -> float:
        return sum(self.percent.values())

    @property
    def all(self) -> float:
        twice = sum(self.percent.get(name, 0) for name in RUN_BY_VTRACE)
        return self.in_programs + self.own_percent - twice

    @property
    def at_rate(self) -> float:
        """The same at SWITCHES: how many the reads make is different from second to second."""
        of_switches = sum(
            percent for name, percent in self.percent.items() if name.startswith(OF_SWITCHES)
        )
        return self.all + of_switches * (SWITCHES / max(SWITCHES, self.switches) - 1)


def cpu_ns(pid: int) -> int:
    """Of all threads there are. 0 if the process has gone."""
    spent = 0
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            spent += int(path.read_text().split()[0])
    return spent


def cpu_ns_of_children() -> float:
    """Of those that have ended and have been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e9 * (usage.ru_utime + usage.ru_stime)


class Sampler:
    """Samples of a process until it ends."""

    def __init__(self, running: tracers.Running, disk: Disk) -> None:
        self.samples: list[Sample] = []
        self.own: set[int] = set()
        self._running, self._disk = running, disk

    def _sample(self) -> None:
        pid = self._running.process.pid
        self.own |= self._running.programs()
        self.samples.append(
            Sample(time.time(), bpf.programs(), cpu_ns(pid), context_switches(), self._disk.reads()))

    @contextlib.contextmanager
    def sampling(self):
        done = threading.Event()

        def keep_sampling() -> None:
            look_at_once()
            while not done.wait(SAMPLE_EVERY):
                self._sample()

        thread = threading.Thread(target=keep_sampling)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def within(self, start: float, end: float) -> tuple[Sample, Sample]:
        inside = [sample for sample in self.samples if start <= sample.time <= end]
        if len(inside) < 2 or inside[-1].time - inside[0].time < ENOUGH * (end - start):
            raise NotMeasured("samples do not cover the window of vtrace diagnose")
        return inside[0], inside[-1]


def result_of(sampler: Sampler, report: dict, whole_ns: float, empty_ns: float) -> Result:
    start = datetime.datetime.fromisoformat(report["start"].replace("Z", "+00:00")).timestamp()
    duration = report["duration_ns"] / 1e9
    first, last = sampler.within(start, start + duration)
    seconds = last.time - first.time
    percent = collections.Counter()
    for each in sampler.own & first.programs.keys() & last.programs.keys():
        old, new = first.programs[each], last.programs[each]
        percent[new.name] += 100 * (new.run_time_ns - old.run_time_ns) / 1e9 / seconds
    own = (last.cpu_ns - first.cpu_ns) / 1e9 / seconds
    return Result(
        percent=dict(percent),
        own_percent=100 * own,
        once_ms=whole_ns / 1e6 - 1000 * own * duration,
        switches=(last.switches - first.switches) / seconds,
        reads=(last.reads - first.reads) / seconds,
        empty_ns=empty_ns,
    )


def diagnose(setup: Setup, disk: Disk, *options: str) -> Result:
    arguments = ["diagnose", *options, "--format", "json"]
    tool = Tool("vtrace diagnose", setup.vtrace, lambda seconds, _: [*arguments, str(seconds)])
    seconds = max(1, round(WINDOW * setup.seconds))
    with bpf.empty_program() as empty:
        empty_ns = ns_by_event({empty: EMPTY}, setup.seconds).get(EMPTY, 0)
    before = cpu_ns_of_children()
    with bpf.statistics(), tracers.started(tool, seconds) as running:
        sampler = Sampler(running, disk)
        with sampler.sampling():
            running.wait_done(seconds + LOADS_MORE)
        whole_ns = cpu_ns_of_children() - before
        report = json.loads(running.output.read_text())
    return result_of(sampler, report, whole_ns, empty_ns)


@contextlib.contextmanager
def reading(fio: str, disk: Disk, at_most: float):
    """Reads at their rate; in rounds of a few, as each wait of its own would be more switches."""
    command = [
        "nice", "-n", "-20", fio, "--name=r", f"--filename={disk.device}", "--direct=1",
        "--rw=randread", "--bs=4k", "--ioengine=libaio", "--iodepth=128", "--iodepth_batch=128",
        "--iodepth_batch_complete_min=128", f"--rate_iops={READS}", f"--runtime={round(at_most)}",
        "--time_based", "--output-format=json",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        if process.poll() is not None:
            raise NotMeasured("fio ended too early")
    finally:
        stop(process)


def switches_a_second() -> float:
    time.sleep(1)
    before, start = context_switches(), time.monotonic()
    time.sleep(1)
    return (context_switches() - before) / (time.monotonic() - start)


@contextlib.contextmanager
def loaded(setup: Setup, fio: str, disk: Disk):
    """Reads, and as many round trips of a ping-pong as the switches of all else leave room for. How many switches a round
    trip is depends on where its two ends run: that is measured first."""
    at_most = WINDOW * setup.seconds + LOADS_MORE
    with reading(fio, disk, at_most):
        others = switches_a_second()
        trips = max(1, (SWITCHES - others) / 4)
        with setup.pingpong.running(at_most, trips):
            more = switches_a_second() - others
        trips = max(1, min(2 * trips, trips * (SWITCHES - others) / max(1, more)))
        with setup.pingpong.running(at_most, trips):
            time.sleep(1)
            yield


def hierarchies() -> list[str]:
    """Where cgroups are mounted that something is charged to."""
    found = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ")
        kind, _, options = after.split(maxsplit=2)
        v1 = kind == "cgroup" and {"cpu", "blkio", "memory"} & set(options.split(","))
        if kind == "cgroup2" or v1:
            found.append(before.split()[4])
    return found


@contextlib.contextmanager
def empty_cgroup():
    """A cgroup without threads, of the same name in all hierarchies."""
    name = f"vtbench-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        for root in hierarchies():
            os.mkdir(made := f"{root}/{name}")
            stack.callback(os.rmdir, made)
        yield f"/{name}"


def part_diagnose(setup: Setup) -> Section:
    fio = tracers.find("fio")
    if not os.access(fio, os.X_OK):
        raise NotMeasured(f"there is no {fio}")
    with loop_disk() as disk, empty_cgroup() as cgroup:
        empty = diagnose(setup, disk)

        def measure(name: str) -> Result:
            options = [f"--cgroup={cgroup}"] if name == NARROWED else []
            with loaded(setup, fio, disk):
                return diagnose(setup, disk, *options)

        results = interleaved(setup, "diagnose", [LOADED, NARROWED], measure)
    return section_of(setup, {EMPTY_HOST: [empty], **results})


def section_of(setup: Setup, results: dict[str, list[Result]]) -> Section:
    names = [name for name in (LOADED, NARROWED, EMPTY_HOST) if results.get(name)]
    section = Section(
        f"`vtrace diagnose` at {SWITCHES:,} switches and {READS:,} reads a second, % of one CPU",
        ["", *names, "targets"],
    )

    def add(title: str, figure, decimals: int = 2, verdict: str = "") -> None:
        cells = [spread([figure(result) for result in results[name]], decimals) for name in names]
        section.rows.append([title, *cells, verdict])

    add("switches a second", lambda result: result.switches, 0)
    add("reads a second", lambda result: result.reads, 0)
    add("an empty program on sched_switch, ns", lambda result: result.empty_ns, 0)
    cost = collections.Counter()
    for result in results.get(LOADED, []):
        cost.update(result.percent)
    for program, _ in cost.most_common(LARGEST):
        add(f"`{program}`", lambda result, of=program: result.percent.get(of, 0))
    add("all programs", lambda result: result.in_programs)
    add("vtrace itself, while it measures", lambda result: result.own_percent)
    add("together", lambda result: result.all)
    wholes = [result.at_rate for result in results.get(LOADED, [])]
    verdict = setup.targets.at_most(f"loads: ≤ {GOAL_PERCENT} % of one CPU", wholes, GOAL_PERCENT)
    add(f"at {SWITCHES:,} switches a second", lambda result: result.at_rate, 2, verdict)
    add("start and report, ms of CPU time once", lambda result: result.once_ms, 0)
    twice = " and ".join(f"`{name}`" for name in RUN_BY_VTRACE)
    section.remarks.append(f"{twice} are run by vtrace itself: together they count once.")
    add_problems(setup, results)
    return section


def add_problems(setup: Setup, results: dict[str, list[Result]]) -> None:
    for name in (LOADED, NARROWED):
        for what, goal, values in (
            ("switches", SWITCHES, [result.switches for result in results.get(name, [])]),
            ("reads", READS, [result.reads for result in results.get(name, [])]),
        ):
            if values and median(values) < ENOUGH * goal:
                setup.problems.append(f"diagnose, {name}: {median(values):,.0f} {what} a second")
