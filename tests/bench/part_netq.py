# SPDX-License-Identifier: GPL-2.0-only
"""Part "netq": cost per packet and hook, while frames go through a queue and a veth in a namespace of our own."""

from common import own_network
from measure import EMPTY, Setup, add_rows_by_event, attached_by_event, interleaved, ns_by_event
from table import Section
from tracers import Tool

TIMES_EMPTY = 2.5
EVENTS = {
    "netq_enqueue": "qdisc_enqueue",
    "netq_dequeue": "qdisc_dequeue",
    "netq_sent": "net_dev_start_xmit",
    "netq_received": "netif_receive_skb",
    "netq_consumed": "consume_skb",
    "netq_dropped": "kfree_skb",
    "netq_napi_poll": "napi_poll",
}

# In a namespace of its own, which unshare has made; it ends with its input. Nobody wants the frames: they are dropped.
LOAD = """
import os, socket, subprocess, sys, threading
for command in ("link add name one type veth peer name other", "link set one up", "link set other up"):
    subprocess.run(["ip", *command.split()], check=True)
subprocess.run("tc qdisc add dev one root tbf rate 10gbit burst 1000000 limit 10000000".split(), check=True)
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("one", 0))
here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print("ready", flush=True)
frame = bytes(12) + b"\\x88\\xb5" + bytes(50)
while True:
    raw.send(frame)
    here.send(b".") # a message, which is an sk_buff, too
    there.recv(1)
"""


def part_netq(setup: Setup) -> Section:
    subject = Tool("vtrace netq", setup.vtrace, lambda seconds, n: ["netq", str(seconds), str(n)])
    tools = setup.present(subject)

    def measure(name: str) -> dict[str, float]:
        with own_network(LOAD), attached_by_event(tools.get(name), EVENTS) as programs:
            return ns_by_event(programs, setup.seconds)

    cost = interleaved(setup, "netq", [EMPTY, *tools], measure)
    section = Section(
        "Cost per packet in a queue and on its way: frames of 64 bytes through tbf and a veth",
        ["tracer and tracepoint", "of an empty program", "ns of BPF per event", "targets"],
    )
    add_rows_by_event(section, cost, EVENTS, TIMES_EMPTY, setup.targets)
    return section
