# SPDX-License-Identifier: GPL-2.0-only
"""Part "irq": cost per softirq and per hard interrupt, hook by hook, beside empty programs and the peers."""

import contextlib
import mmap
import os
import pathlib
import socket
import statistics
import threading
import time

import bpf
import tracers
from common import NotMeasured
from measure import EMPTY, SETTLE, Setup, interleaved
from table import Section, ratios, spread, times
from tracers import Tool

TIMES_EMPTY = 2.5
# The programs of vtrace, with their tracepoints.
HOOKS = {
    "irq_soft_raise": "softirq_raise",
    "irq_soft_entry": "softirq_entry",
    "irq_soft_exit": "softirq_exit",
    "irq_hard_entry": "irq_handler_entry",
    "irq_hard_exit": "irq_handler_exit",
}
FEWEST = 500  # runs, for a mean
SOFT, HARD = "softirqs", "hardirqs"
BPFTRACE = {
    SOFT: """
tracepoint:irq:softirq_entry { @start[cpu] = nsecs; }
tracepoint:irq:softirq_exit /@start[cpu]/ { @ns[args->vec] = hist(nsecs - @start[cpu]); delete(@start[cpu]); }
""",
    HARD: """
tracepoint:irq:irq_handler_entry { @start[cpu] = nsecs; }
tracepoint:irq:irq_handler_exit /@start[cpu]/ { @ns[args->irq] = hist(nsecs - @start[cpu]); delete(@start[cpu]); }
""",
}


def vtrace(setup: Setup, name: str) -> Tool:
    return Tool(f"vtrace {name}", setup.vtrace, lambda seconds, n: [name, str(seconds), str(n)])


def bpftrace(name: str) -> Tool:
    return Tool(f"bpftrace {name}", tracers.find("bpftrace"),
                lambda seconds, n: ["-e", BPFTRACE[name]])


@contextlib.contextmanager
def repeated(work):
    """Does it over and over in a thread."""
    done = threading.Event()

    def run() -> None:
        while not done.is_set():
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def packets(cpu: int):
    """Each is a softirq at once, in the thread that sends it."""
    with (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
          socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender):
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
        pinned = False

        def send() -> None:
            nonlocal pinned
            if not pinned:
                os.sched_setaffinity(0, {cpu})
                pinned = True
            sender.send(b".")
            receiver.recv(1)

        with repeated(send):
            yield


@contextlib.contextmanager
def reads(path: str):
    """Of a file, past the page cache: the disk interrupts a CPU when one is done."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        block = mmap.mmap(-1, 4096)
        with repeated(lambda: os.preadv(fd, [block], 0)):
            yield
    finally:
        os.close(fd)


def ran(kind: str) -> int:
    """How many of them the kernel has counted on all CPUs."""
    if kind == SOFT:
        lines = pathlib.Path("/proc/softirqs").read_text().splitlines()[1:]
    else:
        lines = [line for line in pathlib.Path("/proc/interrupts").read_text().splitlines()
                 if line.split(":")[0].strip().isdigit()]
    cpus = os.cpu_count()
    return sum(int(n) for line in lines for n in line.split()[1:cpus + 1])


@contextlib.contextmanager
def attached(tool: Tool | None, kind: str):
    """{program's id: tracepoint, where it is known}"""
    if tool is None:
        with contextlib.ExitStack() as stack:
            events = [e for e in HOOKS.values() if e.startswith("softirq") == (kind == SOFT)]
            yield {stack.enter_context(bpf.empty_raw_program(event)): event for event in events}
        return
    with tracers.started(tool) as running:
        with bpf.statistics():
            own = running.wait_any_run()
        time.sleep(SETTLE)
        yield {p.id: HOOKS.get(p.name) for p in bpf.programs().values() if p.id in own}
        running.check_alive()


def ns_of(programs: dict[int, str | None], seconds: float, kind: str) -> dict[str | None, float]:
    """By tracepoint what a run took; and as None what all of them took for each interrupt."""
    with bpf.statistics():
        before, counted = bpf.programs(), ran(kind)
        time.sleep(seconds)
        after, counted = bpf.programs(), ran(kind) - counted
    found, spent = {}, 0
    for program_id, event in programs.items():
        old, new = before.get(program_id), after.get(program_id)
        if not old or not new:
            continue
        spent += new.run_time_ns - old.run_time_ns
        if event and new.run_cnt - old.run_cnt >= FEWEST:
            found[event] = (new.run_time_ns - old.run_time_ns) / (new.run_cnt - old.run_cnt)
    if counted < FEWEST:
        raise NotMeasured(f"too few {kind}: {counted}")
    return found | {None: spent / counted}


def rows_of(setup: Setup, kind: str) -> tuple[list[list[str]], list[float]]:
    ours, peer = vtrace(setup, kind), tracers.libbpf_tools(kind)
    tools = setup.present(ours, peer, bpftrace(kind))

    def measure(name: str) -> dict[str | None, float]:
        load = packets(setup.pingpong.cpu) if kind == SOFT else reads(setup.vtrace)
        with attached(tools.get(name), kind) as programs, load:
            time.sleep(0.1)
            return ns_of(programs, setup.seconds, kind)

    cost = interleaved(setup, f"irq, {kind}", [EMPTY, *tools], measure)
    if EMPTY not in cost:
        return [], []
    rows = []
    for name, found in cost.items():
        if name == EMPTY:
            continue
        all_of = [of[None] for of in found]
        # Interrupts of a disk are rare, their caches cold: there the peer is the measure.
        verdict = ""
        if kind == HARD and name == ours.name and peer.name in cost:
            to_peer = ratios(all_of, [of[None] for of in cost[peer.name]])
            verdict = setup.targets.at_most(f"≤ {peer.name}", to_peer, 1)
        rows.append([name, times(ratios(all_of, [of[None] for of in cost[EMPTY]])), spread(all_of), verdict])
    for event in dict.fromkeys(HOOKS.values()):
        rounds = [(mine[event], floor[event]) for mine, floor in zip(cost.get(ours.name, []), cost[EMPTY])
                  if event in mine and event in floor]
        if rounds:
            mine, floor = map(list, zip(*rounds))
            to_empty = ratios(mine, floor)
            rows.append([f"{ours.name}: {event}", times(to_empty), spread(mine),
                         setup.targets.at_most(f"{event} ≤ {TIMES_EMPTY} × empty", to_empty, TIMES_EMPTY)
                         if kind == SOFT else ""])
    return rows, [ns for of in cost[EMPTY] for event, ns in of.items() if event]


def part_irq(setup: Setup) -> Section:
    section = Section(
        "Cost per softirq (a packet on loopback) and per hard interrupt (a read from a disk)",
        ["tracer and tracepoint", "of empty programs", "ns of BPF per interrupt", "targets"],
    )
    floors = []
    for kind in (SOFT, HARD):
        try:
            rows, of_empty = rows_of(setup, kind)
        except NotMeasured as problem:
            setup.problems.append(f"irq: {problem}")
            continue
        section.rows += rows
        floors += of_empty
    if floors:
        section.remarks = [f"An empty program: {statistics.median(floors):.0f} ns at the median. Empty programs are "
                           "on all of the tracepoints that vtrace uses, peers on two."]
    return section
