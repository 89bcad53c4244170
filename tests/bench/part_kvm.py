# SPDX-License-Identifier: GPL-2.0-only
"""Part "kvm": cost per event of a guest, hook by hook, beside empty programs on the same tracepoints."""

import contextlib
import pathlib
import statistics
import time

import bpf
import tracers
from common import NotMeasured
from loads import Guest
from measure import EMPTY, SETTLE, Setup, interleaved
from table import Section, ratios, spread, times
from tracers import Tool

TIMES_EMPTY = 2.5
# The programs that the guest runs all the time, wherever KVM is; with their tracepoints.
HOOKS = {
    "kvm_exit": "kvm_exit",
    "kvm_exit_with_r": "kvm_exit",  # names of programs end there
    "kvm_exit_classi": "kvm_exit",
    "kvm_entry": "kvm_entry",
    "kvm_to_vmm": "kvm_userspace_exit",
    "kvm_pio": "kvm_pio",
    "kvm_mmio": "kvm_mmio",
    "kvm_cpuid": "kvm_cpuid",
    "kvm_emulation": "kvm_emulate_insn",
}
FEWEST = 1000  # runs, for a mean


def ns_per_run(programs: dict[int, str], seconds: float) -> dict[str, float]:
    """By tracepoint: what a run took, of those that ran often enough."""
    with bpf.statistics():
        before = bpf.programs()
        time.sleep(seconds)
        after = bpf.programs()
    found = {}
    for program_id, event in programs.items():
        old, new = before.get(program_id), after.get(program_id)
        if old and new and new.run_cnt - old.run_cnt >= FEWEST:
            found[event] = (new.run_time_ns - old.run_time_ns) / (new.run_cnt - old.run_cnt)
    return found


@contextlib.contextmanager
def attached(tool: Tool | None):
    """{program's id: tracepoint}"""
    if tool is None:
        with contextlib.ExitStack() as stack:
            found = {}
            for event in dict.fromkeys(HOOKS.values()):
                with contextlib.suppress(OSError):  # arm64 has neither kvm_pio nor kvm_cpuid
                    found[stack.enter_context(bpf.empty_raw_program(event))] = event
            time.sleep(SETTLE)
            yield found
        return
    with tracers.started(tool) as running:
        with bpf.statistics():
            own = running.wait_any_run()
        time.sleep(SETTLE)
        yield {p.id: HOOKS[p.name] for p in bpf.programs().values() if p.id in own and p.name in HOOKS}
        running.check_alive()


def part_kvm(setup: Setup) -> Section:
    guest = Guest(str(pathlib.Path(setup.vtrace).with_name("wl_kvm_guest")), setup.pingpong.cpu)
    if not guest.possible():
        raise NotMeasured("no /dev/kvm")
    tools = {f"vtrace {name}": Tool(f"vtrace {name}", setup.vtrace,
                                    lambda seconds, n, name=name: [name, str(seconds), str(n)])
             for name in ("kvmexit", "kvmio")}

    def measure(name: str) -> dict[str, float]:
        with guest.running(), attached(tools.get(name)) as programs:
            return ns_per_run(programs, setup.seconds)

    cost = interleaved(setup, "kvm", [EMPTY, *tools], measure)
    section = Section(
        "Cost per event of a guest: 64 writes to a port, 64 CPUIDs, 64 writes to a device, over and over",
        ["tracer and tracepoint", "of an empty program", "ns of BPF per event", "targets"],
    )
    for name in tools:
        for event in dict.fromkeys(HOOKS.values()):
            rounds = [(mine[event], floor[event]) for mine, floor in zip(cost[name], cost[EMPTY])
                      if event in mine and event in floor]
            if not rounds:
                continue
            mine, floor = map(list, zip(*rounds))
            to_empty = ratios(mine, floor)
            section.rows.append([
                f"{name}: {event}", times(to_empty), spread(mine),
                setup.targets.at_most(f"≤ {TIMES_EMPTY} × empty", to_empty, TIMES_EMPTY),
            ])
    floors = [ns for of in cost[EMPTY] for ns in of.values()]
    section.remarks = [f"An empty program: {statistics.median(floors):.0f} ns at the median."]
    return section
