# SPDX-License-Identifier: GPL-2.0-only
"""Bottlenecks of the network and of softirqs, and a loopback that is as busy as it can be."""

import contextlib
import os
import pathlib
import socket
import struct
import time

import net_live as net
import vtrace_live as live

PORT = 5201
UDP_PORT = 9
SEGMENT = 1460  # bytes, about
DATAGRAM = 500  # bytes
SEND_BUFFER = 64 * 1024  # of a socket; the kernel takes twice as much
IN_BUFFER = 64  # datagrams, about: each takes 1,280 bytes
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
RECEIVE_BUFFER = 64 << 20  # bytes
WEIGHT = 30_000  # packets


class Host(net.Container):
    """A network namespace of an owner."""

    def __init__(self, owner):
        net.Namespace.__init__(self, owner)
        self.cgroup = owner
        self.name = owner.name

    def enter(self):
        """The calling thread stays in it."""
        net.enter_namespace(self.pid)

    def __exit__(self, *_):
        net.Namespace.__exit__(self)


def hosts(scene):
    """Two owners with a network namespace each."""
    return [scene.enter_context(Host(scene.owner())) for _ in range(2)]


def iperf3(scene, near, far, address, *options, cpu=None):
    """From the near to the far, until the scene ends."""
    scene.start(far.cgroup, "iperf3", "--server", "--port", PORT, cpu=cpu, namespace=far)

    def listens():
        with open(f"/proc/{far.pid}/net/tcp6", encoding="ascii") as six, \
                open(f"/proc/{far.pid}/net/tcp", encoding="ascii") as four:
            return f":{PORT:04X} " in six.read() + four.read()

    live.until(listens, "iperf3 listens")
    scene.start(near.cgroup, "iperf3", "--client", address, "--port", PORT, "--time", 600, *options, cpu=cpu,
                namespace=near)


def decoy(scene):
    """Somebody whose packets all arrive, a few hundred a second, over a wire of its own."""
    near, far = hosts(scene)
    wire = net.wire(near, far)
    iperf3(scene, near, far, wire.far_v4, "--bitrate", "1M", "--length", 1000)


def retransmits(scene):
    """Some of what it sends is lost on its way."""
    near, far = hosts(scene)
    share = scene.between((0.035, 0.06), (0.1, 0.13), (0.22, 0.28))
    relay = scene.enter_context(net.Relay(
        near, far, delay=0.002, lose=lambda packet: net.payload(packet) > 0 and scene.random.random() < share))
    iperf3(scene, near, far, relay.far_v4, "--bitrate", "10M", "--length", 8 * SEGMENT)
    decoy(scene)
    scene.expect("net-retransmits", near, None, f"{relay.far_v4}:{PORT}", relay.far_v4)


def drops(scene):
    """It reads fewer datagrams than it is sent."""
    near, far = hosts(scene)
    wire = net.wire(near, far)
    sent = scene.between((100, 150), (1500, 2000), (10_000, 15_000))  # a second
    read = sent * scene.between((0.4, 0.6), (0.2, 0.4), (0.0, 0.1))

    def reads(child):
        far.enter()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.bind((wire.far_v4, UDP_PORT))
            child.tell()
            while True:
                slow.recv(2048)
                time.sleep(1 / max(read, 1))

    def sends(_child):
        near.enter()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect((wire.far_v4, UDP_PORT))
            due = time.monotonic()
            while True:
                sender.send(bytes(500))
                due += 1 / sent
                time.sleep(max(0, due - time.monotonic()))

    cpu = scene.free_cpu()
    scene.child(far.cgroup, reads, cpu).hear()
    scene.child(near.cgroup, sends, cpu)
    decoy(scene)
    scene.expect("net-drops", far, None, far)


def queue(scene):
    """Its datagrams fill their socket's buffer, and wait in a queue that is emptied at a known rate: none is lost."""
    near, far = hosts(scene)
    wire = net.wire(near, far)
    wait = scene.between((0.03, 0.06), (0.13, 0.25), (0.6, 0.7))  # seconds
    bits = 8 * DATAGRAM * IN_BUFFER
    near.tc(f"qdisc add dev {wire.device} root tbf rate {round(bits / wait)}bit burst 4000 limit 4000000")
    iperf3(scene, near, far, wire.far_v4, "--udp", "--bitrate", 0, "--length", DATAGRAM, "--window", SEND_BUFFER)
    decoy(scene)
    scene.expect("net-queue", near, None)


class SlowPackets:
    """A wire whose far end has so many filters to look at that a packet takes long, in softirqs of one CPU."""

    FILTERS = 2000
    TRIED = 200  # packets

    def __init__(self, scene, cpu):
        self.near, self.far = hosts(scene)
        self.wire = net.wire(self.near, self.far)
        self.far.receive_on(self.wire.device, cpu)
        self.far.tc(f"qdisc add dev {self.wire.device} ingress")
        self.far.tc_batch(
            f"filter add dev {self.wire.device} parent ffff: pref {number} protocol ip u32 match ip src 192.0.2.1/32 "
            f"match ip dport {number} 0xffff flowid 1:1" for number in range(1, self.FILTERS + 1))

    def sockets(self):
        """From the near to the far; the calling thread is in the far namespace afterwards."""
        self.near.enter()
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.connect((self.wire.far_v4, UDP_PORT))
        self.far.enter()
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        receiver.bind((self.wire.far_v4, UDP_PORT))
        receiver.settimeout(1)
        return sender, receiver

    @staticmethod
    def send(sender, receiver, count):
        """So many at once, and seconds until all have arrived."""
        start = time.monotonic()
        for _ in range(count):
            sender.send(bytes(DATAGRAM))
        for _ in range(count):
            receiver.recv(DATAGRAM)
        return time.monotonic() - start


def starvation(scene):
    """Packets that are slow to receive, so many of them in one run that the timers of their CPU wait: a weight that is
    too large. In between it is idle for as long."""
    cpu = scene.cpu()
    packets = SlowPackets(scene, cpu)
    wanted = scene.between((0.025, 0.04), (0.045, 0.08), (0.13, 0.2))  # seconds that a run takes
    for name in ("dev_weight", "netdev_max_backlog"):
        scene.set_host(pathlib.Path("/proc/sys/net/core", name), WEIGHT)

    def sends(child):
        sender, receiver = packets.sockets()
        each = min(packets.send(sender, receiver, packets.TRIED) for _ in range(3)) / packets.TRIED
        child.tell()
        while True:
            time.sleep(packets.send(sender, receiver, round(wanted / each)))

    def times(_child):
        """Waits with a timer of the kernel's, again and again: the least there is."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 1))
            silent.bind("")
            while True:
                with contextlib.suppress(BlockingIOError):
                    silent.recv(1)

    scene.child(packets.near.cgroup, sends, scene.free_cpu()).hear()
    scene.child(scene.owner(), times, cpu)
    scene.expect("softirq-starvation", os.uname().nodename, None)


def loopback(scene):
    """Healthy: as much as loopback can carry."""
    host = scene.enter_context(Host(scene.owner()))
    iperf3(scene, host, host, "127.0.0.1")


BOTTLENECKS = {
    "net-retransmits": retransmits,
    "net-drops": drops,
    "net-queue": queue,
    "softirq-starvation": starvation,
}
HEALTHY = {"loopback at full speed": loopback}
