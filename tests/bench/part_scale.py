# SPDX-License-Identifier: GPL-2.0-only
"""Part "scale": the same with thousands of cgroups and threads, where cache misses rule."""

import datetime
import json
import time
from dataclasses import dataclass

import bpf
import loads
import tracers
from measure import CLOSE_TO_ALL, EMPTY, SETTLE, Setup, attached, bpf_ns_per_switch, interleaved, log
from part_startup import startup
from table import Section, median, ratios, spread, times
from tracers import Tool

CGROUPS, THREADS, PERIOD_US = 5000, 4, 200_000
WAKEUPS_PER_SECOND = CGROUPS * THREADS * 1_000_000 // PERIOD_US

OF_PEER = 1.0
REPORT_MS = 100
STARTUP_TIMES_SMALL = 3
REPORT_MARGIN = 4  # seconds that a report's interval is longer than the window inside it


@dataclass(frozen=True)
class Ledger:
    """One report, against what the herd itself counted in the same time."""

    woken: float
    switches: float
    waits: int
    rows: int
    loss: dict
    report_ms: float
    rss_mb: float

    @property
    def lost(self) -> int:
        return sum(value for value in self.loss.values() if isinstance(value, int))

    @property
    def complete(self) -> bool:
        """Every wake-up is in a row or in the ledger, and no wait is invented."""
        return self.waits + self.lost >= CLOSE_TO_ALL * self.woken and self.waits <= self.switches


def timestamp(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


def read_ledger(report: dict, herd: loads.Herd) -> Ledger:
    rows = [row for row in report["rows"] if herd.holds(row["entity"].get("cgroup", ""))]
    woken, switches = herd.between(timestamp(report["start"]), timestamp(report["end"]))
    return Ledger(
        woken=woken,
        switches=switches,
        waits=sum(row["metrics"]["wait"]["count"] for row in rows),
        rows=len(rows),
        loss=report["loss"],
        report_ms=report["overhead"].get("report_ms", 0),
        rss_mb=report["overhead"]["rss_bytes"] / 1e6,
    )


@dataclass(frozen=True)
class Result:
    ns_per_switch: float
    startup_ms: float = 0  # the empty program has none
    ledger: Ledger | None = None  # of vtrace


def measure_empty(setup: Setup) -> Result:
    with attached(None) as own:
        return Result(bpf_ns_per_switch(own, EMPTY, 2 * setup.seconds, setup.problems))


def measure_tool(tool: Tool, setup: Setup, herd: loads.Herd) -> Result:
    is_vtrace = tool.program == setup.vtrace
    window = 2 * setup.seconds
    interval = round(window) + REPORT_MARGIN if is_vtrace else tracers.LONGEST
    report = None
    with herd.sampled(), tracers.started(tool, seconds=interval) as running:
        with bpf.statistics():
            running.wait_attached()
        time.sleep(SETTLE)
        cost = bpf_ns_per_switch(running.programs(), tool.name, window, setup.problems)
        running.check_alive()
        if is_vtrace:
            running.wait_done(interval + tracers.ATTACH_TIMEOUT)
            report = json.loads(running.output.read_text())
    return Result(cost, 1000 * running.attached_after, report and read_ledger(report, herd))


def part_scale(setup: Setup) -> Section:
    subject, peer = setup.vtrace_cgroup("--format", "json", "--overhead"), tracers.libbpf_tools()
    tools = setup.present(subject, peer)
    small = interleaved(
        setup, "scale, start-up without the herd", list(tools), lambda name: startup(tools[name])[0]
    )
    log(f"scale: starting {CGROUPS} cgroups with {THREADS} threads each")
    with loads.herd(setup.herd, CGROUPS, THREADS, PERIOD_US) as herd:

        def measure(name: str) -> Result:
            if name == EMPTY:
                return measure_empty(setup)
            return measure_tool(tools[name], setup, herd)

        results = interleaved(setup, "scale", [EMPTY, *tools], measure)

    cost = {name: [result.ns_per_switch for result in of] for name, of in results.items()}
    section = Section(
        f"Scale: {CGROUPS:,} cgroups, {CGROUPS * THREADS:,} threads, "
        f"{WAKEUPS_PER_SECOND:,} wake-ups a second",
        [
            "tracer",
            "of libbpf-tools",
            "of an empty program",
            "start-up, of the small case",
            "ns of BPF per switch",
            "exec to first attach, ms",
            "targets",
        ],
    )
    for name, of in results.items():
        to_empty, to_peer = ratios(cost[name], cost[EMPTY]), ratios(cost[name], cost.get(peer.name))
        attach_ms = [result.startup_ms for result in of]
        starts = ratios(attach_ms, small.get(name))
        verdicts = []
        if name == subject.name:
            at_most, limit = setup.targets.at_most, STARTUP_TIMES_SMALL
            verdicts.append(at_most("≤ libbpf-tools", to_peer, OF_PEER))
            verdicts.append(at_most(f"start-up ≤ {limit} × small", starts, limit))
        section.rows.append([
            name,
            times(to_peer),
            times(to_empty),
            times(starts) if name != EMPTY else "",
            spread(cost[name]),
            spread(attach_ms, 1) if name != EMPTY else "",
            ", ".join(verdicts),
        ])
    ledgers = [result.ledger for of in results.values() for result in of if result.ledger]
    section.remarks = ledger_remarks(ledgers, setup) if ledgers else []
    return section


def ledger_remarks(ledgers: list[Ledger], setup: Setup) -> list[str]:
    worst = min(ledgers, key=lambda ledger: (ledger.waits + ledger.lost) / ledger.woken)
    report_ms = [ledger.report_ms for ledger in ledgers]
    whole = setup.targets.holds("nothing lost uncounted", all(each.complete for each in ledgers))
    quick = setup.targets.holds(f"a report in < {REPORT_MS} ms", median(report_ms) < REPORT_MS)
    return [
        f"{whole}. In the report with most missing, the herd counted {worst.woken:,.0f} wake-ups "
        f"in {worst.switches:,.0f} context switches, vtrace {worst.waits:,} waits in "
        f"{worst.rows:,} cgroups; `loss`: `{json.dumps(worst.loss)}`.",
        f"{quick}. Draining and rendering all cgroups as JSON took {spread(report_ms, 1)} ms.",
        f"Memory of vtrace then: {spread([ledger.rss_mb for ledger in ledgers], 1)} MB.",
    ]
