# SPDX-License-Identifier: GPL-2.0-only
"""Part "small": cost per context switch, and what it does to a load that only switches."""

import time
from dataclasses import dataclass

import tracers
from measure import EMPTY, Setup, attached, bpf_ns_per_switch, interleaved
from table import Section, ratios, spread, times

TIMES_EMPTY = 2.2
OF_PEER = 1 / 5


@dataclass(frozen=True)
class Result:
    ns_per_switch: float
    slower_percent: float
    ns_alone: float  # a round trip of the ping-pong with nothing attached


def part_small(setup: Setup) -> Section:
    subject, peer = setup.vtrace_cgroup(), tracers.libbpf_tools()
    tools = setup.present(subject, setup.vtrace_host(), peer, tracers.bpftrace())
    before = setup.pingpong.ns_per_trip(setup.seconds)

    def measure(name: str) -> Result:
        nonlocal before
        with attached(tools.get(name)) as own:
            traced = setup.pingpong.ns_per_trip(setup.seconds)
            with setup.pingpong.running(setup.seconds + 5):
                time.sleep(0.1)
                ns = bpf_ns_per_switch(own, name, setup.seconds, setup.problems)
        # Against the mean of before and after: the machine's own drift exceeds a tracer's cost.
        after = setup.pingpong.ns_per_trip(setup.seconds)
        alone, before = (before + after) / 2, after
        return Result(ns, 100 * (traced / alone - 1), alone)

    results = interleaved(setup, "small", [EMPTY, *tools], measure)
    cost = {name: [result.ns_per_switch for result in of] for name, of in results.items()}
    section = Section(
        "Cost: two threads on one CPU that do nothing but switch",
        [
            "tracer",
            "of an empty program",
            "of libbpf-tools",
            "ns of BPF per switch",
            "slows the load by, %",
            "targets",
        ],
    )
    for name, of in results.items():
        to_empty, to_peer = ratios(cost[name], cost[EMPTY]), ratios(cost[name], cost.get(peer.name))
        verdicts = []
        if name == subject.name:
            at_most = setup.targets.at_most
            verdicts.append(at_most(f"≤ {TIMES_EMPTY} × empty", to_empty, TIMES_EMPTY))
            verdicts.append(at_most("≤ 1/5 of libbpf-tools", to_peer, OF_PEER))
        section.rows.append([
            name,
            times(to_empty),
            times(to_peer),
            spread(cost[name]),
            spread([result.slower_percent for result in of]),
            ", ".join(verdicts),
        ])
    alone = [result.ns_alone for of in results.values() for result in of]
    section.remarks = [
        f"A round trip of the load, untraced: {spread(alone)} ns for two switches.",
        f"Only `{subject.name}` keeps its figures per cgroup.",
    ]
    return section
