# SPDX-License-Identifier: GPL-2.0-only
"""Part "startup": time to the first attach, a whole short run, memory."""

import time
from dataclasses import dataclass

import bpf
import tracers
from measure import Setup, interleaved
from table import Section, ratios, spread, times
from tracers import Tool

OF_PEER = 1.25


@dataclass(frozen=True)
class Result:
    attach_ms: float
    run_s: float
    rss_mb: float


def startup(tool: Tool) -> tuple[float, float]:
    """A report of one second: ms to the first run of an attached program, seconds to the end."""
    with tracers.started(tool, seconds=1) as running:
        with bpf.statistics():
            running.wait_attached()
        running.wait_done(tracers.ATTACH_TIMEOUT)
        return 1000 * running.attached_after, time.monotonic() - running.started


def peak_rss(tool: Tool) -> int:
    """Of two reports: the last look at a process comes just before its end."""
    with tracers.started(tool, seconds=1, count=2) as running:
        return running.peak_rss(tracers.ATTACH_TIMEOUT)


def part_startup(setup: Setup) -> Section:
    subject, peer = setup.vtrace_cgroup(), tracers.libbpf_tools()
    tools = setup.present(subject, peer, tracers.bpftrace())

    def measure(name: str) -> Result:
        return Result(*startup(tools[name]), peak_rss(tools[name]) / 1e6)

    results = interleaved(setup, "startup", list(tools), measure)
    attach_ms = {name: [result.attach_ms for result in of] for name, of in results.items()}
    rss_mb = {name: [result.rss_mb for result in of] for name, of in results.items()}
    section = Section(
        "Start-up and memory",
        [
            "tracer",
            "start-up, of libbpf-tools",
            "memory, of libbpf-tools",
            "exec to first attach, ms",
            "a run of 1 s, s",
            "peak RSS, MB",
            "targets",
        ],
    )
    for name, of in results.items():
        starts = ratios(attach_ms[name], attach_ms.get(peer.name))
        memory = ratios(rss_mb[name], rss_mb.get(peer.name))
        verdicts = []
        if name == subject.name:
            at_most = setup.targets.at_most
            verdicts.append(at_most(f"start-up ≤ {OF_PEER} ×", starts, OF_PEER))
            verdicts.append(at_most(f"memory ≤ {OF_PEER} ×", memory, OF_PEER))
        section.rows.append([
            name,
            times(starts),
            times(memory),
            spread(attach_ms[name], 1),
            spread([result.run_s for result in of], 3),
            spread(rss_mb[name], 1),
            ", ".join(verdicts),
        ])
    return section
