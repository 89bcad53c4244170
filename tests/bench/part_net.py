# SPDX-License-Identifier: GPL-2.0-only
"""Part "net": cost per event of TCP, tracepoint by tracepoint, beside empty programs on the same tracepoints.
Part "traffic": what that does to who sends requests and waits for answers over loopback, beside the peers."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import tracers
from common import STOP_TIMEOUT, NotMeasured, stop
from measure import (
    EMPTY,
    SETTLE,
    Setup,
    add_rows_by_event,
    attached_by_event,
    interleaved,
    ns_by_event,
)
from table import Section, confidence, spread, times
from tracers import Tool

TIMES_EMPTY = 2.5
SLOWER_PERCENT = 5
EVENTS = {
    "tcp_set_state": "inet_sock_set_state",
    "tcp_received": "tcp_probe",
    "tcp_sent_again": "tcp_retransmit_skb",
}
TOOLS = ("tcpconnlat", "tcprtt", "tcpretrans", "tcplife")
OTHERS = ("netdrop", "netq")
TCP = "vtrace, all four of TCP at once"
ALL = "vtrace, all of the network at once"
SILENT_FOR = 1.5  # seconds: the first SYN is sent again after one

# In a network namespace of its own: short connections one after the other, and, with `silent`, 2,000 sockets whose
# SYNs nobody answers, so that each is sent again every second.
SHORT = """
ip link set lo up
"$0" serve 80 1 1 >/dev/null &
sleep 0.2
exec "$0" connect 1000000000 1 1 127.0.0.1:80 >/dev/null
"""
SILENT = """
ip link add one type veth peer name other
ip link set one up
ip link set other up
ip addr add 10.9.9.1/24 dev one
ip neigh replace 10.9.9.2 lladdr 02:00:00:00:00:99 dev one nud permanent
echo 127 >/proc/sys/net/ipv4/tcp_syn_linear_timeouts 2>/dev/null
ulimit -n 4096
exec "$0" -c '
import contextlib, signal, socket
sockets = [socket.socket() for _ in range(2000)]
for each in sockets:
    each.setblocking(False)
    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 127)
    with contextlib.suppress(BlockingIOError):
        each.connect(("10.9.9.2", 80))
signal.pause()
'
"""

PEERS = {
    "bpftrace, states": 'tracepoint:sock:inet_sock_set_state { @[args->newstate] = count(); }',
    "bpftrace, round trips": 'tracepoint:tcp:tcp_probe { @ = hist(args->srtt); }',
}


@contextlib.contextmanager
def in_own_network(script: str, program: str):
    command = ["unshare", "-n", "sh", "-c", script, program]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
        if process.poll() is not None:
            raise NotMeasured(f"the load of {program} ended by itself")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def workload(setup: Setup) -> str:
    program = str(pathlib.Path(setup.vtrace).with_name("wl_net"))
    if not os.access(program, os.X_OK):
        raise NotMeasured(f"there is no {program}")
    return program


def vtrace(setup: Setup, name: str, *options: str) -> Tool:
    return Tool(
        " ".join([f"vtrace {name}", *options]),
        setup.vtrace,
        lambda seconds, count: [name, *options, str(seconds), str(count)],
    )


def part_net(setup: Setup) -> Section:
    program = workload(setup)
    made = [vtrace(setup, name) for name in TOOLS] + [vtrace(setup, "tcpconnlat", "--ttfb")]
    tools = {tool.name: tool for tool in made}

    def measure(name: str) -> dict[str, float]:
        with (
            in_own_network(SHORT, program),
            attached_by_event(tools.get(name), EVENTS) as programs,
            # Sockets that were seen to begin: what else is sent again is of none that is known.
            in_own_network(SILENT, sys.executable),
            pinging(setup, program, "tcp"),
        ):
            time.sleep(SILENT_FOR)
            return ns_by_event(programs, 2 * setup.seconds)

    cost = interleaved(setup, "net", [EMPTY, *tools], measure)
    section = Section(
        "Cost per event of TCP: short connections, requests and answers, and SYNs that nobody answers",
        ["tracer and tracepoint", "of an empty program", "ns of BPF per event", "targets"],
    )
    add_rows_by_event(section, cost, EVENTS, TIMES_EMPTY, setup.targets)
    return section


# ---- what it does to a load ----


def ping_command(setup: Setup, program: str, protocol: str, seconds: float) -> list[str]:
    return [program, "ping", protocol, str(setup.pingpong.cpu), str(seconds)]


@contextlib.contextmanager
def pinging(setup: Setup, program: str, protocol: str):
    process = subprocess.Popen(
        ping_command(setup, program, protocol, tracers.LONGEST), stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def ns_per_trip(setup: Setup, program: str, protocol: str) -> float:
    """CPU time, in which programs that run for a packet are: the rest of the machine may be busy."""
    command = ping_command(setup, program, protocol, setup.seconds)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            out, _ = process.communicate(timeout=setup.seconds + STOP_TIMEOUT)
        finally:
            stop(process)
    if process.returncode != 0:
        raise NotMeasured(f"{program} failed")
    return json.loads(out)["cpu_ns_per_round_trip"]


@contextlib.contextmanager
def all_attached(tools: list[Tool], program: str):
    """Attaches them, and has each of them see something first."""
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(tracers.started(tool)) for tool in tools]
        with in_own_network(SHORT, program), tracers.bpf.statistics():
            for each in running:
                each.wait_any_run()
        time.sleep(SETTLE)
        yield
        for each in running:
            each.check_alive()


@dataclass(frozen=True)
class Slower:
    """CPU time of a round trip, of that just before and after without a tracer."""

    tcp: float
    udp: float
    tcp_alone_ns: float
    udp_alone_ns: float


def part_traffic(setup: Setup) -> Section:
    program = workload(setup)
    own = {f"vtrace {name}": [vtrace(setup, name)] for name in (*TOOLS, *OTHERS)}
    own[TCP] = [vtrace(setup, name) for name in TOOLS]
    own[ALL] = [vtrace(setup, name) for name in (*TOOLS, *OTHERS)]
    peers = [Tool(name, tracers.find("bpftrace"), lambda _seconds, _count, text=text: ["-e", text])
             for name, text in PEERS.items()]
    # Those of its tools that are on tracepoints; the others want kprobes.
    peers.append(Tool("libbpf-tools tcplife", tracers.find("tcplife"), lambda _seconds, _count: []))
    tools = own | {tool.name: [tool] for tool in setup.present(*peers).values()}

    def both() -> tuple[float, float]:
        return ns_per_trip(setup, program, "tcp"), ns_per_trip(setup, program, "udp")

    before = both()

    def measure(name: str) -> Slower:
        nonlocal before
        with all_attached(tools[name], program):
            traced = both()
        after = both()
        alone = [(a + b) / 2 for a, b in zip(before, after)]
        before = after
        return Slower(traced[0] / alone[0], traced[1] / alone[1], *alone)

    results = interleaved(setup, "traffic", list(tools), measure)
    section = Section(
        "Requests and answers of 64 bytes over loopback, one at a time, on one CPU",
        ["tracer", "of TCP untraced", "of UDP untraced", "slows TCP by, %: mean, 95 % of", "slows UDP by, %", "targets"],
    )
    for name, of in results.items():
        tcp, udp = [each.tcp for each in of], [each.udp for each in of]
        percent = [[100 * (ratio - 1) for ratio in ratios] for ratios in (tcp, udp)]
        verdict = ""
        if name == TCP:
            at_most, limit = setup.targets.at_most, SLOWER_PERCENT
            verdict = at_most(f"slows TCP by ≤ {limit} %", percent[0], limit)
        section.rows.append([name, times(tcp), times(udp), *(confidence(each, 1) for each in percent), verdict])
    alone = [each for of in results.values() for each in of]
    section.remarks = [
        f"CPU time of a round trip, untraced: of TCP {spread([each.tcp_alone_ns for each in alone])} ns, "
        f"of UDP {spread([each.udp_alone_ns for each in alone])} ns."
    ]
    return section
