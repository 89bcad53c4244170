# SPDX-License-Identifier: GPL-2.0-only
"""Part "drop": cost per dropped packet, while datagrams come in a network namespace of our own: to a full socket, and
to a port without one, so that all that is known of them is in their headers."""

import contextlib
import time

import bpf
import tracers
from common import NotMeasured, own_network
from measure import EMPTY, SETTLE, Setup, interleaved
from table import Section, ratios, spread, times
from tracers import Tool

EVENT = "kfree_skb"
TIMES_EMPTY = 2.5

# In a namespace of its own, which unshare has made; it ends with its input.
LOAD = """
import socket, subprocess, threading, sys, os
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
full = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
full.bind(("127.0.0.1", 5000))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print("ready", flush=True)
while True:
    sender.sendto(b"x" * 100, ("127.0.0.1", PORT))
"""
LOADS = {"full socket": LOAD.replace("PORT", "5000"), "no socket": LOAD.replace("PORT", "5001")}

BPFTRACE = "tracepoint:skb:kfree_skb { @[args->location] = count(); } interval:s:%d { exit(); }"


def bpftrace() -> Tool:
    return Tool(
        "bpftrace kfree_skb",
        tracers.find("bpftrace"),
        lambda seconds, count: ["-e", BPFTRACE % (seconds * count)],
    )


@contextlib.contextmanager
def attached(tool: Tool | None):
    if tool is None:
        with bpf.empty_raw_program(EVENT) as program_id:
            time.sleep(SETTLE)
            yield {program_id}
        return
    with tracers.started(tool) as running:
        with bpf.statistics():
            own = running.wait_any_run()
        time.sleep(SETTLE)
        yield own
        running.check_alive()


def ns_per_drop(own: set[int], seconds: float) -> float:
    """All that a tool's programs took, by the runs of the one that ran most: that is on the tracepoint."""
    with bpf.statistics():
        start = bpf.programs()
        time.sleep(seconds)
        end = bpf.programs()
    both = [(start[i], end[i]) for i in own & start.keys() & end.keys()]
    runs = max((new.run_cnt - old.run_cnt for old, new in both), default=0)
    if runs == 0:
        raise NotMeasured("no packet was dropped")
    return sum(new.run_time_ns - old.run_time_ns for old, new in both) / runs


def part_drop(setup: Setup) -> Section:
    subject = Tool("vtrace netdrop", setup.vtrace, lambda seconds, n: ["netdrop", str(seconds), str(n)])
    peer = bpftrace()
    tools = setup.present(subject, peer)

    section = Section(
        "Cost of dropped packets: datagrams to a full socket, and to a port without one",
        ["tracer", "dropped", "of an empty program", "of its twin", "ns of BPF per drop", "targets"],
    )
    for dropped, load in LOADS.items():

        def measure(name: str, load: str = load) -> float:
            with own_network(load), attached(tools.get(name)) as own:
                return ns_per_drop(own, setup.seconds)

        cost = interleaved(setup, f"drop, {dropped}", [EMPTY, *tools], measure)
        for name, of in cost.items():
            to_empty = ratios(of, cost[EMPTY])
            to_peer = ratios(of, cost[peer.name]) if peer.name in cost else []
            verdict = ""
            if name == subject.name:
                verdict = setup.targets.at_most(f"≤ {TIMES_EMPTY} × empty", to_empty, TIMES_EMPTY)
            section.rows.append([name, dropped, times(to_empty), times(to_peer), spread(of), verdict])
    return section
