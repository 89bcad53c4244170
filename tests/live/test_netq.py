#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace netq` against the devices' own counters, senders, and the time stamps of who receives."""

import collections
import contextlib
import fcntl
import os
import socket
import struct
import subprocess
import threading
import time
import unittest

import net_live as net
import vtrace_live as live
from block_live import load_module

SO_RCVBUFFORCE, SO_SNDBUFFORCE, SO_TIMESTAMPNS = 33, 32, 35  # asm-generic/socket.h
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
PORT = 9
FRAME = bytes(12) + b"\x88\xb5" + bytes(50)  # of a protocol for experiments


def parts(reports, path, kind):
    return [
        part
        for report in reports
        for row in report["rows"]
        if row["entity"]["cgroup"] == path
        for part in row["parts"]
        if part["entity"]["kind"] == kind
    ]


def devices(reports, path):
    """{device: counters, and how much its histograms count} of an entity."""
    found = collections.defaultdict(collections.Counter)
    for part in parts(reports, path, "device"):
        for name, metric in part["metrics"].items():
            found[part["entity"]["name"]][name] += metric["count" if metric["type"] == "histogram" else "value"]
    return dict(found)


def owners(reports, path):
    return {(part["entity"]["name"], part["entity"]["labels"]["owner"]) for part in parts(reports, path, "device")}


def hops(reports, path):
    """{(step of the path, depth): packets} of an entity."""
    found = collections.Counter()
    for part in parts(reports, path, "hop"):
        found[part["entity"]["name"], int(part["entity"]["labels"]["depth"])] += part["metrics"]["packets"]["value"]
    return found


def times(reports, path, device, name):
    """(count, sum, max) of a histogram."""
    found = [
        part["metrics"][name] for part in parts(reports, path, "device") if part["entity"]["name"] == device
    ]
    return sum(h["count"] for h in found), sum(h["sum"] for h in found), max((h["max"] for h in found), default=0)


def backlog(reports):
    """Counters of what loopback and veth are polled by."""
    found = collections.Counter()
    for report in reports:
        for row in report["rows"]:
            for part in row["parts"]:
                if part["entity"]["name"] == "backlog":
                    for name, metric in part["metrics"].items():
                        found[name] += metric["count" if metric["type"] == "histogram" else "value"]
    return found


def counted(namespace, device):
    """What the kernel counts of a device: /proc/net/dev."""
    with open(f"/proc/{namespace.pid}/net/dev", encoding="ascii") as file:
        (line,) = [line for line in file if line.strip().startswith(device + ":")]
    values = [int(value) for value in line.split(":")[1].split()]
    return dict(rx_bytes=values[0], rx_packets=values[1], tx_bytes=values[8], tx_packets=values[9])


def at_rest(*ends):
    """The same of several, when nothing is on its way."""
    before = [counted(*end) for end in ends]

    def rests():
        nonlocal before
        before, last = [counted(*end) for end in ends], before
        return before == last

    live.until(rests, "nothing is on its way", every=0.1)
    return before


def udp(near, far, address, count, payload, pause=0.0):
    """Sends; returns how many came, and the sum of the times that they took to the receiver's time stamp, in ns."""
    with near.at_home():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with far.at_home():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender, receiver:
        sender.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 24)
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        receiver.settimeout(1)
        receiver.bind((address, PORT))
        sender.connect((address, PORT))
        times_sent = []
        for number in range(count):
            times_sent.append(time.time_ns())
            sender.send(number.to_bytes(4, "little") + bytes(payload - 4))
            if pause:
                time.sleep(pause)
        came = took = 0
        with contextlib.suppress(TimeoutError):
            while came < count:
                data, control, _, _ = receiver.recvmsg(2048, 128)
                seconds, nanoseconds = struct.unpack("qq", control[0][2][:16])
                took += seconds * 10**9 + nanoseconds - times_sent[int.from_bytes(data[:4], "little")]
                came += 1
    return came, took


def send_frames(namespace, device, count):
    """That nobody wants."""
    with namespace.at_home():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with raw:
        raw.bind((device, 0))
        for _ in range(count):
            raw.send(FRAME)


class NetqTestCase(live.TestCase):
    unseen = 0

    def disturbed(self):
        return self.unseen > 0

    def traced(self, work, *arguments):
        with live.Tracer("netq", "--format", "json", *arguments, 0.5) as tracer:
            first = tracer.wait_report()
            work()
            code = tracer.stop()
            reports = tracer.reports(first)
        self.assertEqual(code, 0, tracer.err)
        self.unseen = live.losses(reports, "recursion_misses") + live.losses(reports, "unseen")
        self.assertEqual(live.losses(reports, "map_full"), 0)
        self.assertEqual(live.losses(reports, "clock_anomaly"), 0)
        return reports

    def container(self):
        made = self.enter(net.Container())
        made.cgroup.add(made.pid)
        # Without what a new device says of itself by IPv6.
        made.sysctl("ipv6/conf/default/disable_ipv6", 1)
        return made

    def bridged(self):
        """Two containers, and a namespace with a bridge between them: (near, far, between)."""
        near, far, between = self.container(), self.container(), self.enter(net.Namespace())
        between.sysctl("ipv6/conf/default/disable_ipv6", 1)
        between.ip("link add br0 type bridge", "link set br0 up")
        for end, port, address in ((near, "va", "10.9.0.1"), (far, "vb", "10.9.0.2")):
            between.ip(f"link add {port} type veth peer name eth0 netns {end.pid}", f"link set {port} master br0 up")
            end.ip("link set eth0 up", f"addr add {address}/24 dev eth0")
        udp(near, far, "10.9.0.2", 1, 100)  # who is where is known from now on
        return near, far, between


class Counts(NetqTestCase):
    def test_bytes_and_packets(self):
        """Of a container, its neighbour and an idle one, for IPv4: as the kernel counts; the sender's."""
        near, far, between = self.bridged()
        idle = self.container()
        ends = ((near, "eth0"), (far, "eth0"))
        got = {}

        def work():
            got["before"] = at_rest(*ends)
            got["came"], _ = udp(near, far, "10.9.0.2", 3000, 500)
            got["after"] = at_rest(*ends)

        reports = self.traced(work)
        self.assertEqual(got["came"], 3000)
        for (end, device), before, after in zip(ends, got["before"], got["after"]):
            grown = {key: after[key] - before[key] for key in after}
            found = devices(reports, end.path)[device]
            print(f"    {grown}")
            self.assertEqual({key: found[key] for key in grown}, grown)
            self.assertEqual(owners(reports, end.path), {("eth0", "netns")})
        self.assertEqual(devices(reports, idle.path), {})

    @live.on_any_kernel
    def test_the_hosts_end_of_a_veth(self):
        """Is of whom the other end is."""
        inside = self.container()
        outside = f"vq{inside.pid}"
        command = f"ip link add {outside} type veth peer name eth0 netns {inside.pid}"
        subprocess.run(command.split(), check=True)
        self.addCleanup(subprocess.run, ["ip", "link", "del", outside], check=False, capture_output=True)
        subprocess.run(["ip", "link", "set", outside, "addrgenmode", "none", "up"], check=True)
        inside.ip("link set eth0 up", "addr add 10.9.1.1/24 dev eth0")

        def work():
            send_frames(inside, "eth0", 200)
            time.sleep(0.2)

        reports = self.traced(work)
        found = devices(reports, inside.path)
        print(f"    {owners(reports, inside.path)}")
        self.assertEqual(owners(reports, inside.path), {("eth0", "netns"), (outside, "peer")})
        self.assertEqual(found["eth0"]["tx_packets"], 200)
        self.assertEqual(found[outside]["rx_packets"], 200)
        selected = self.traced(work, f"--cgroup={inside.path}")
        self.assertEqual({row["entity"]["cgroup"] for report in selected for row in report["rows"]}, {inside.path})

    @live.on_any_kernel
    def test_a_device_that_goes(self):
        """What it sent is known from its packets; its counters went with it."""
        near, far, between = self.bridged()

        def work():
            udp(near, far, "10.9.0.2", 50, 500)
            between.ip("link del va")

        reports = self.traced(work)
        self.assertGreaterEqual(hops(reports, far.path)["received by eth0", 3], 50)
        gone = parts(reports, near.path, "device")[-1]
        self.assertEqual(gone["entity"]["name"], "eth0", "its other end took it along")
        self.assertNotIn("rx_packets", gone["metrics"], "unknown is not 0")


class Paths(NetqTestCase):
    @live.measured
    def test_through_a_bridge(self):
        near, far, _ = self.bridged()
        reports = self.traced(lambda: (udp(near, far, "10.9.0.2", 4000, 500), time.sleep(0.2)))
        steps = [("sent by eth0", 0), ("received by va", 1), ("sent by vb", 2), ("received by eth0", 3)]
        for end in (near, far):
            found = hops(reports, end.path)
            print(f"    {[found[step] for step in steps]}")
            for step in steps:
                # A few of the neighbours' own beside.
                self.assertGreaterEqual(found[step], 4000, step)
                self.assertLess(found[step], 4020, step)


class Queues(NetqTestCase):
    def queue(self):
        """Two containers with a wire between them, who know each other: (near, far, address of far)."""
        near, far = self.container(), self.container()
        near.ip(f"link add eth0 type veth peer name eth0 netns {far.pid}", "link set eth0 up", "addr add 10.9.2.1/24 dev eth0")
        far.ip("link set eth0 up", "addr add 10.9.2.2/24 dev eth0")
        near.ip(f"neigh replace 10.9.2.2 dev eth0 lladdr {net.hardware_address(far, 'eth0')} nud permanent")
        return near, far, "10.9.2.2"

    @live.measured
    def test_residency(self):
        """In a queue of a known rate: as much as the receiver's time stamps say."""
        near, far, address = self.queue()
        size, rate, count = 1250, 8_000_000, 100
        near.tc(f"qdisc add dev eth0 root tbf rate {rate}bit burst {size} limit 1000000")
        got = {}

        def work():
            got["came"], got["took"] = udp(near, far, address, count, size - 42)
            time.sleep(0.2)

        reports = self.traced(work)
        waited, total, most = times(reports, near.path, "eth0", "queue")
        by_rate = sum(i * size * 8 / rate * 1e9 for i in range(count))
        print(f"    {waited} waited {total / 1e6:.2f} ms, by time stamps {got['took'] / 1e6:.2f}, "
              f"by the rate {by_rate / 1e6:.2f}; longest {most / 1e6:.2f} ms")
        self.assertEqual(got["came"], count)
        self.assertGreaterEqual(waited, count)
        self.assertLess(waited, count + 10)
        self.assertGreater(total, 0.97 * got["took"])
        self.assertLess(total, 1.01 * got["took"])
        self.assertEqual(devices(reports, far.path)["eth0"]["queue"], 0)

    @live.measured
    def test_polls_that_are_not_enough(self):
        """More at once than a poll may take: 64 (dev_weight)."""
        near, far, address = self.queue()
        count = 1000
        held = "qdisc replace dev eth0 root handle 1: tbf limit 10000000"
        near.tc(f"{held} rate 8kbit burst 2000")

        def work():
            def let_go():
                with near.at_home():  # not as somebody else who is in the namespace
                    near.tc(f"{held} rate 10gbit burst 10000000")

            release = threading.Timer(0.3, let_go)
            release.start()
            udp(near, far, address, count, 500)
            release.join()
            time.sleep(0.2)

        reports = self.traced(work)
        sent = devices(reports, near.path)["eth0"]
        print(f"    {sent['queue']} timed in the queue, {sent['not_timed']} not")
        # Several leave it at once, which are a list.
        self.assertGreaterEqual(sent["queue"] + sent["not_timed"], count)
        self.assertLess(sent["queue"] + sent["not_timed"], count + 10)
        self.assertLess(sent["not_timed"], 5)
        found = backlog(reports)
        print(f"    {found['polls_exhausted']} of {found['polls']} polls, delays of {found['softirq_delay']}")
        self.assertGreaterEqual(found["polls_exhausted"], count // 64 - 2)
        self.assertLessEqual(found["polls_exhausted"], count // 64 + 2)
        self.assertLessEqual(found["softirq_delay"], found["polls"])
        self.assertGreater(found["softirq_delay"], 0.5 * found["polls"])


def holds_a_tap(namespace):
    """Work for a Child: it has a tap of that namespace open; at each word it reads so many frames after 20 ms, then
    it writes 70."""

    def hold(child):
        net.enter_namespace(namespace.pid)
        tap = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"tap0", IFF_TAP | IFF_NO_PI))
        child.tell()
        child.hear()
        time.sleep(0.02)
        for _ in range(50):
            os.read(tap, 2048)
        for _ in range(70):
            os.write(tap, FRAME)
        child.tell()
        live.sleep_for_ever(child)

    return hold


class Taps(NetqTestCase):
    @live.on_any_kernel
    def test_whoever_has_it_open(self):
        """A VM's: what it takes it is sent, when it takes it; what it sends the device receives."""
        if not os.path.exists("/dev/net/tun") and not load_module("tun"):
            self.skipTest("this kernel has no tun")
        home = self.container()
        holders = self.enter(net.SocketCgroup())
        holder = self.enter(live.Child(holds_a_tap(home), cgroup=holders))
        holder.hear()
        home.ip("link set tap0 up")

        def work():
            send_frames(home, "tap0", 50)
            holder.tell()
            holder.hear()
            time.sleep(0.2)

        reports = self.traced(work)
        found = devices(reports, holders.path)
        self.assertEqual(owners(reports, holders.path), {("tap0", "holder")})
        self.assertEqual(found["tap0"]["tx_packets"], 50)
        self.assertEqual(found["tap0"]["rx_packets"], 70)
        taken, total, most = times(reports, holders.path, "tap0", "driver")
        print(f"    {dict(found['tap0'])}, {taken} taken after {total / max(taken, 1) / 1e6:.2f} ms")
        self.assertEqual(taken, 50)
        self.assertGreater(total, 50 * 0.019e9)
        self.assertLess(most, 0.5e9)


if __name__ == "__main__":
    unittest.main()
