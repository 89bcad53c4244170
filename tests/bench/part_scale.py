# SPDX-License-Identifier: GPL-2.0-only
"""Part "scale": the same with thousands of cgroups and threads, where cache misses rule.

There are two herds. The busy one, 100,000 switches a second, shows the cost per switch and whether
every wait is counted. It leaves hardly any CPU, so that whatever starts under it mostly waits: what
many cgroups do to start-up and reports shows under the calm one.
"""

import datetime
import json
import time
from dataclasses import dataclass

import bpf
import loads
import tracers
from common import idle_share
from measure import (
    CLOSE_TO_ALL,
    EMPTY,
    SETTLE,
    Setup,
    attached,
    bpf_ns_per_switch,
    interleaved,
    log,
)
from part_startup import startup
from table import Section, median, ratios, spread, times
from tracers import Tool

CGROUPS, THREADS = 5000, 4
BUSY_PERIOD_US, CALM_PERIOD_US = 200_000, 2_000_000
CALM_SECONDS = 3  # of a report; longer than the period, so that every cgroup has a figure

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
    rss_mb: float

    @property
    def lost(self) -> int:
        in_the_figures = {"recovered"}
        counts = {name: n for name, n in self.loss.items() if isinstance(n, int)}
        return sum(n for name, n in counts.items() if name not in in_the_figures)

    @property
    def complete(self) -> bool:
        """Every wake-up is in a row or in the ledger, and no wait is invented."""
        return self.waits + self.lost >= CLOSE_TO_ALL * self.woken and self.waits <= self.switches


def timestamp(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


def read_report(running: tracers.Running) -> tuple[dict, float]:
    """The report, and the ms from the end of its window to its last byte: draining and rendering."""
    report = json.loads(running.output.read_text())
    written = running.output.stat().st_mtime
    return report, 1000 * (written - timestamp(report["end"]))


def read_ledger(report: dict, herd: loads.Herd) -> Ledger:
    rows = [row for row in report["rows"] if herd.holds(row["entity"].get("cgroup", ""))]
    woken, switches = herd.between(timestamp(report["start"]), timestamp(report["end"]))
    return Ledger(
        woken=woken,
        switches=switches,
        waits=sum(row["metrics"]["wait"]["count"] for row in rows),
        rows=len(rows),
        loss=report["loss"],
        rss_mb=report["overhead"]["rss_bytes"] / 1e6,
    )


@dataclass(frozen=True)
class Calm:
    startup_ms: float
    report_ms: float = 0  # of vtrace
    rows: int = 0


@dataclass(frozen=True)
class Busy:
    ns_per_switch: float
    startup_ms: float = 0  # the empty program has none
    report_ms: float = 0  # of vtrace, as the ledger
    ledger: Ledger | None = None


def measure_calm(tool: Tool, setup: Setup) -> Calm:
    with tracers.started(tool, seconds=CALM_SECONDS) as running:
        with bpf.statistics():
            running.wait_attached()
        running.wait_done(tracers.ATTACH_TIMEOUT)
        startup_ms = 1000 * running.attached_after
        if tool.program != setup.vtrace:
            return Calm(startup_ms)
        report, report_ms = read_report(running)
        return Calm(startup_ms, report_ms, len(report["rows"]))


def measure_empty(setup: Setup) -> Busy:
    with attached(None) as own:
        return Busy(bpf_ns_per_switch(own, EMPTY, 2 * setup.seconds, setup.problems))


def measure_busy(tool: Tool, setup: Setup, herd: loads.Herd) -> Busy:
    is_vtrace = tool.program == setup.vtrace
    window = 2 * setup.seconds
    interval = round(window) + REPORT_MARGIN if is_vtrace else tracers.LONGEST
    with herd.sampled(), tracers.started(tool, seconds=interval) as running:
        with bpf.statistics():
            running.wait_attached()
        time.sleep(SETTLE)
        cost = bpf_ns_per_switch(running.programs(), tool.name, window, setup.problems)
        running.check_alive()
        startup_ms = 1000 * running.attached_after
        if not is_vtrace:
            return Busy(cost, startup_ms)
        running.wait_done(interval + tracers.ATTACH_TIMEOUT)
        report, report_ms = read_report(running)
    return Busy(cost, startup_ms, report_ms, read_ledger(report, herd))


def part_scale(setup: Setup) -> Section:
    subject, peer = setup.vtrace_cgroup("--format", "json", "--overhead"), tracers.libbpf_tools()
    tools = setup.present(subject, peer)

    small = interleaved(setup, "no herd", list(tools), lambda name: startup(tools[name])[0])
    log(f"calm herd: starting {CGROUPS} cgroups with {THREADS} threads each")
    with loads.herd(setup.herd, CGROUPS, THREADS, CALM_PERIOD_US):
        calm = interleaved(
            setup, "calm herd", list(tools), lambda name: measure_calm(tools[name], setup)
        )
    log(f"busy herd: starting {CGROUPS} cgroups with {THREADS} threads each")
    with loads.herd(setup.herd, CGROUPS, THREADS, BUSY_PERIOD_US) as herd:
        idle = idle_share(2 * setup.seconds)

        def measure(name: str) -> Busy:
            if name == EMPTY:
                return measure_empty(setup)
            return measure_busy(tools[name], setup, herd)

        busy = interleaved(setup, "busy herd", [EMPTY, *tools], measure)

    section = Section(
        f"Scale: {CGROUPS:,} cgroups, {CGROUPS * THREADS:,} threads",
        [
            "tracer",
            "of libbpf-tools",
            "of an empty program",
            "start-up, of the small case",
            "start-up, CPUs busy",
            "ns of BPF per switch",
            "exec to first attach, ms",
            "targets",
        ],
    )
    cost = {name: [result.ns_per_switch for result in of] for name, of in busy.items()}
    for name in cost:
        to_empty, to_peer = ratios(cost[name], cost[EMPTY]), ratios(cost[name], cost.get(peer.name))
        calm_ms = [result.startup_ms for result in calm.get(name, [])]
        starts = ratios(calm_ms, small.get(name))
        busy_starts = ratios([result.startup_ms for result in busy[name]], small.get(name))
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
            times(busy_starts) if name != EMPTY else "",
            spread(cost[name]),
            spread(calm_ms, 1) if calm_ms else "",
            ", ".join(verdicts),
        ])
    section.remarks.append(
        f"Cost: {wakeups_a_second(BUSY_PERIOD_US)} wake-ups a second, which leaves the CPUs idle "
        f"for {100 * idle:.0f} % of the time. Start-up: {wakeups_a_second(CALM_PERIOD_US)}."
    )
    if subject.name in busy and subject.name in calm:
        section.remarks += report_remarks(calm[subject.name], busy[subject.name], setup)
    return section


def wakeups_a_second(period_us: int) -> str:
    return f"{CGROUPS * THREADS * 1_000_000 // period_us:,}"


def report_remarks(calm: list[Calm], busy: list[Busy], setup: Setup) -> list[str]:
    ledgers = [result.ledger for result in busy]
    worst = min(ledgers, key=lambda ledger: (ledger.waits + ledger.lost) / ledger.woken)
    whole = setup.targets.holds("nothing lost uncounted", all(each.complete for each in ledgers))
    calm_ms = [result.report_ms for result in calm]
    quick = setup.targets.holds(f"a report in < {REPORT_MS} ms", median(calm_ms) < REPORT_MS)
    return [
        f"{whole}. In the report with most missing, the herd counted {worst.woken:,.0f} wake-ups "
        f"in {worst.switches:,.0f} context switches, vtrace {worst.waits:,} waits in "
        f"{worst.rows:,} cgroups; `loss`: `{json.dumps(worst.loss)}`.",
        f"{quick}. Draining and rendering {min(result.rows for result in calm):,} rows as JSON took "
        f"{spread(calm_ms)} ms, with the CPUs busy {spread([r.report_ms for r in busy])} ms.",
        f"Memory of vtrace then: {spread([ledger.rss_mb for ledger in ledgers], 1)} MB.",
    ]
