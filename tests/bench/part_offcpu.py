# SPDX-License-Identifier: GPL-2.0-only
"""Part "offcpu": cost per context switch of time off the CPU by stack, none of it long enough to show."""

import tracers
from measure import EMPTY, Setup, ns_per_switch
from table import Section, ratios, spread, times
from tracers import Tool

OF_PEER = 1 / 5
MIN_MS = 1


def part_offcpu(setup: Setup) -> Section:
    subject = Tool(
        "vtrace offcputime",
        setup.vtrace,
        lambda seconds, count: ["offcputime", "--min", str(MIN_MS), str(seconds), str(count)],
    )
    peer = Tool(
        "libbpf-tools offcputime",
        tracers.find("offcputime"),
        lambda seconds, count: ["-m", str(1000 * MIN_MS), str(seconds * count)],
    )
    tools = setup.present(subject, peer)

    cost = ns_per_switch(setup, "offcpu", tools)
    section = Section(
        "Cost of stacks: the same load, times off the CPU from 1 ms on",
        ["tracer", "of an empty program", "of libbpf-tools", "ns of BPF per switch", "targets"],
    )
    for name, ns in cost.items():
        to_peer = ratios(ns, cost.get(peer.name))
        verdict = ""
        if name == subject.name:
            verdict = setup.targets.at_most("≤ 1/5 of libbpf-tools", to_peer, OF_PEER)
        to_empty = times(ratios(ns, cost[EMPTY]))
        section.rows.append([name, to_empty, times(to_peer), spread(ns), verdict])
    return section
