# SPDX-License-Identifier: GPL-2.0-only
"""How a tracer's cost is measured; what the parts of the bench share."""

import contextlib
import statistics
import sys
import time
from dataclasses import dataclass, field

import bpf
import common
import loads
import tracers
from table import Section, Targets, ratios, spread, times
from tracers import Tool

SETTLE = 0.3  # seconds after the first attach: what a tool does at its start is not its running cost
CLOSE_TO_ALL = 0.99  # two sources agree: they are read one after the other
EMPTY = "empty program"


@dataclass(frozen=True)
class Setup:
    """What to measure, and what was found wanting while measuring."""

    rounds: int
    seconds: float
    vtrace: str
    herd: str
    pingpong: loads.PingPong
    targets: Targets = field(default_factory=Targets)
    problems: list[str] = field(default_factory=list)

    def vtrace_cgroup(self, *options: str) -> Tool:
        return tracers.vtrace(self.vtrace, "--cgroup", *options)

    def vtrace_host(self) -> Tool:
        return tracers.vtrace(self.vtrace)

    def present(self, *tools: Tool) -> dict[str, Tool]:
        """The tools that are here, by name; a missing one is a figure that cannot be measured."""
        for tool in tools:
            if tool.missing():
                self.problems.append(f"{tool.name}: there is no {tool.program}")
        return {tool.name: tool for tool in tools if not tool.missing()}


def interleaved(setup: Setup, part: str, names: list[str], measure) -> dict[str, list]:
    """The results of measure(name), a list for each name: every one in turn, round by round.

    One that fails is out, and does not keep the others from being measured.
    """
    results = {name: [] for name in names}
    for number in range(setup.rounds):
        for name in list(results):
            log(f"{part}, round {number + 1}: {name}")
            try:
                results[name].append(measure(name))
            except common.NotMeasured as problem:
                setup.problems.append(f"{part}: {problem}")
                del results[name]
    return results


def log(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def attached(tool: Tool | None):
    """Attaches a tool, or for None the empty program; gives the ids of its programs."""
    if tool is None:
        with bpf.empty_program() as program_id:
            time.sleep(SETTLE)
            yield {program_id}
        return
    with tracers.started(tool) as running:
        with bpf.statistics():
            running.wait_attached()
        time.sleep(SETTLE)
        yield running.programs()
        running.check_alive()


@dataclass(frozen=True)
class Reading:
    """All programs' counts, between two looks at the machine's."""

    switches_before: int
    programs: dict[int, bpf.Program]
    switches_after: int

    @staticmethod
    def now() -> "Reading":
        return Reading(common.context_switches(), bpf.programs(), common.context_switches())


FEWEST_RUNS = 1000  # for a mean


def ns_by_event(programs: dict[int, str], seconds: float) -> dict[str, float]:
    """Of programs, by the tracepoints that they are on: what a run took, of those that ran often enough."""
    with bpf.statistics():
        before = bpf.programs()
        time.sleep(seconds)
        after = bpf.programs()
    found = {}
    for program_id, event in programs.items():
        old, new = before.get(program_id), after.get(program_id)
        if old and new and new.run_cnt - old.run_cnt >= FEWEST_RUNS:
            found[event] = (new.run_time_ns - old.run_time_ns) / (new.run_cnt - old.run_cnt)
    return found


@contextlib.contextmanager
def attached_by_event(tool: Tool | None, events: dict[str, str]):
    """Attaches a tool, or for None an empty program to each tracepoint; gives {program's id: tracepoint}.

    `events`: tracepoints by the names of programs, which end after 15 characters.
    """
    if tool is None:
        with contextlib.ExitStack() as stack:
            found = {}
            for event in dict.fromkeys(events.values()):
                with contextlib.suppress(OSError):  # not every kernel has each
                    found[stack.enter_context(bpf.empty_raw_program(event))] = event
            time.sleep(SETTLE)
            yield found
        return
    with tracers.started(tool) as running:
        with bpf.statistics():
            own = running.wait_any_run()
        time.sleep(SETTLE)
        yield {p.id: events[p.name] for p in bpf.programs().values() if p.id in own and p.name in events}
        running.check_alive()


def add_rows_by_event(
    section: Section, cost: dict[str, list], events: dict[str, str], most: float, targets: Targets
) -> None:
    """One for each tool and tracepoint, beside the empty program of the same round."""
    for name in cost:
        for event in dict.fromkeys(events.values()):
            rounds = [(mine[event], floor[event]) for mine, floor in zip(cost[name], cost[EMPTY])
                      if name != EMPTY and event in mine and event in floor]
            if not rounds:
                continue
            mine, floor = map(list, zip(*rounds))
            to_empty = ratios(mine, floor)
            section.rows.append([
                f"{name}: {event}", times(to_empty), spread(mine),
                targets.at_most(f"≤ {most} × empty", to_empty, most),
            ])
    floors = [ns for of in cost.get(EMPTY, []) for ns in of.values()]
    if floors:
        section.remarks.append(f"An empty program: {statistics.median(floors):.0f} ns at the median.")


def bpf_ns_per_switch(own: set[int], name: str, seconds: float, problems: list[str]) -> float:
    """Nanoseconds that all programs of a tool took together, per context switch of the machine."""
    with bpf.statistics():
        start = Reading.now()
        time.sleep(seconds)
        end = Reading.now()
    spent, seen, others = 0, 0, 0
    for program_id in start.programs.keys() & end.programs.keys():
        old, new = start.programs[program_id], end.programs[program_id]
        runs = new.run_cnt - old.run_cnt
        if program_id in own:
            spent += new.run_time_ns - old.run_time_ns
            seen = max(seen, runs if new.on_switch else 0)
        elif new.on_switch and runs:
            others += 1
    if others:
        problems.append(f"{name}: {others} program(s) of others ran on sched_switch as well")
    # Of a classic tracepoint the kernel does not say which it is: there its own count has to do.
    fewest = end.switches_before - start.switches_after
    most = end.switches_after - start.switches_before
    if seen and not CLOSE_TO_ALL * fewest <= seen <= most:
        problems.append(f"{name}: its program saw {seen} of {fewest} to {most} context switches")
    return spent / (seen or (fewest + most) / 2)


def ns_per_switch(setup: Setup, part: str, tools: dict[str, Tool]) -> dict[str, list]:
    """bpf_ns_per_switch() of an empty program and of each tool while the ping-pong runs, round by round."""

    def measure(name: str) -> float:
        with attached(tools.get(name)) as own, setup.pingpong.running(setup.seconds + 5):
            time.sleep(0.1)
            return bpf_ns_per_switch(own, name, setup.seconds, setup.problems)

    return interleaved(setup, part, [EMPTY, *tools], measure)
