# SPDX-License-Identifier: GPL-2.0-only
"""Part "cpu": the other questions that are put to the switch, per context switch, beside their twins."""

import pathlib

import tracers
from measure import EMPTY, Setup, ns_per_switch
from table import Section, ratios, spread, times
from tracers import Tool

ALL_OF_RUNQLAT = 1 / 2
ALL = "vtrace: wait, blame and states at once"
CPUDIST_OF_TWIN = 1 / 3


def part_cpu(setup: Setup) -> Section:
    runqlat, twin = tracers.libbpf_tools(), tracers.libbpf_tools("cpudist")
    subjects = [
        setup.vtrace_cgroup(),
        Tool("vtrace blame", setup.vtrace, lambda seconds, n: ["blame", str(seconds), str(n)]),
        Tool("vtrace states", setup.vtrace, lambda seconds, n: ["states", str(seconds), str(n)]),
        Tool(ALL, str(pathlib.Path(setup.vtrace).with_name("bench_all_parts")), lambda seconds, n: [str(seconds), str(n)]),
        Tool("vtrace cpudist", setup.vtrace, lambda seconds, n: ["cpudist", str(seconds), str(n)]),
        Tool("vtrace memstall", setup.vtrace, lambda seconds, n: ["memstall", str(seconds), str(n)]),
    ]
    tools = setup.present(*subjects, runqlat, twin)

    cost = ns_per_switch(setup, "cpu", tools)
    section = Section(
        "Cost of the other questions, same load",
        ["tracer", "of an empty program", "of its twin", "ns of BPF per switch", "targets"],
    )
    limits = {
        "vtrace runqlat --cgroup": (runqlat.name, None),
        "vtrace blame": (runqlat.name, None),
        "vtrace states": (runqlat.name, None),
        ALL: (runqlat.name, ALL_OF_RUNQLAT),
        "vtrace cpudist": (twin.name, CPUDIST_OF_TWIN),
    }
    for name, of in cost.items():
        peer, limit = limits.get(name, (None, None))
        to_peer = ratios(of, cost.get(peer)) if peer else []
        verdict = ""
        if limit:
            verdict = setup.targets.at_most(f"≤ {limit:.2f} of {peer}", to_peer, limit)
        section.rows.append([
            name,
            times(ratios(of, cost[EMPTY])),
            times(to_peer) if peer else "",
            spread(of),
            verdict,
        ])
    return section
