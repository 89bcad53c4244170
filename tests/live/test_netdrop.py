#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace netdrop` and `tcpdrop` against the kernel's own counts in network namespaces of ours."""

import collections
import errno
import pathlib
import re
import socket
import time
import unittest

import engines_live as engines
import drop_live as net
import vtrace_live as live
from net_live import TCP_SYN, CgroupOf, SocketCgroup, datagram, raw_socket, segment

REASONS = live.kernel() >= (5, 17)  # the kernel gives some
RECEIVERS = live.kernel() >= (6, 11)  # and the socket that a packet was for


def sums(reports, path):
    """Packets by the labels of the entity with this path (or of this kind and name)."""
    counted = collections.Counter()
    for report in reports:
        for row in report["rows"]:
            entity = row["entity"]
            if path in (entity["cgroup"], f"{entity['kind']} {entity['name']}"):
                for drop in row["drops"]:
                    labels = drop["entity"]["labels"]
                    counted[tuple(sorted(labels.items()))] += drop["metrics"]["packets"]["value"]
    return counted


def packets(counted, **wanted):
    """Those of these labels: regular expressions of them."""
    return sum(
        n
        for labels, n in counted.items()
        if all(re.fullmatch(value, dict(labels).get(key, "")) for key, value in wanted.items())
    )


def because(reason, location):
    """What tells them: before 5.17 the function is all that there is."""
    return {"reason": reason} if REASONS else {"location": location}


def listed(counted):
    return "\n" + "\n".join(f"{n} {dict(labels)}" for labels, n in counted.most_common())


class NetTest(live.TestCase):
    tool = "netdrop"

    def traced(self, work, *arguments, prefix=()):
        """The reports on what `work` did meanwhile."""
        with live.Tracer(self.tool, "--format", "json", *arguments, 0.5, prefix=prefix) as tracer:
            first = tracer.wait_report()
            work()
            tracer.stop()
            reports = tracer.reports(first)
        self.assertEqual(live.losses(reports, "map_full"), 0)
        return reports

    def namespace(self):
        return self.enter(net.new_namespace(self.enter(SocketCgroup())))

    def grown(self, there, work, *keys):
        """By how much the counts of the namespace grew, and what was reported of its cgroup."""
        before = there.counts()
        reports = self.traced(work)
        after = there.counts()
        return [after[k] - before[k] for k in keys], sums(reports, there.cgroup.path)


def fill_udp(family, address, to, count):
    """Datagrams to a socket that nobody reads."""

    def action():
        with socket.socket(family, socket.SOCK_DGRAM) as full:
            full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            full.bind((address, 5000))
            with socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for _ in range(count):
                    sender.sendto(b"x" * 500, (to, 5000))

    return action


def to_closed_port(family, to, count):
    """From a socket that does not hear that the port is closed."""

    def action():
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            for _ in range(count):
                sender.sendto(b"x" * 100, (to, 5001))

    return action


def sends_to_itself(child):
    """Work for a Child: at ask() it sends 300 datagrams to a socket that it does not read, and keeps that open."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as full:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        full.bind(("127.0.0.1", 5007))
        child.hear()
        for _ in range(300):
            full.sendto(b"x" * 500, ("127.0.0.1", 5007))
        child.tell()
        live.sleep_for_ever(child)


def drops_of_port(port):
    for line in pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]:
        if line.split()[1].endswith(f":{port:04X}"):
            return int(line.split()[-1])
    raise AssertionError(f"expected a socket of port {port}")


class Udp(NetTest):
    def check_full(self, family, address, to, key, protocol):
        there = self.namespace()
        (lost,), counted = self.grown(there, lambda: there.run(fill_udp(family, address, to, 500)), key)
        self.assertGreater(lost, 100)
        of_them = packets(counted, protocol=protocol, **because("SOCKET_RCVBUFF", "(__)?udp.*_rcv.*"))
        print(f"    {key} {lost}, reported {of_them}")
        self.assertEqual(of_them, lost, listed(counted))
        self.assertEqual(packets(counted), lost, "and nothing else: " + listed(counted))
        self.assertEqual(packets(counted, owner="socket"), lost if RECEIVERS else 0, listed(counted))

    def test_full_buffer_ipv4(self):
        self.check_full(socket.AF_INET, "127.0.0.1", "127.0.0.1", "Udp.RcvbufErrors", "UDP")

    def test_full_buffer_ipv6(self):
        self.check_full(socket.AF_INET6, "::1", "::1", "Udp6RcvbufErrors", "UDP6")

    def test_full_buffer_ipv4_mapped(self):
        self.check_full(socket.AF_INET6, "::", "127.0.0.1", "Udp.RcvbufErrors", "UDP")

    def check_closed(self, family, to, key, protocol):
        there = self.namespace()
        (lost,), counted = self.grown(there, lambda: there.run(to_closed_port(family, to, 300)), key)
        self.assertGreater(lost, 100)
        of_them = packets(counted, protocol=protocol, **because("NO_SOCKET", "__udp.*_lib_rcv"))
        print(f"    {key} {lost}, reported {of_them}")
        self.assertEqual(of_them, lost, listed(counted))

    def test_closed_port_ipv4(self):
        self.check_closed(socket.AF_INET, "127.0.0.1", "Udp.NoPorts", "UDP")

    def test_closed_port_ipv6(self):
        self.check_closed(socket.AF_INET6, "::1", "Udp6NoPorts", "UDP6")

    def test_wrong_checksum(self):
        there = self.namespace()

        def action():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target, raw_socket() as raw:
                target.bind(("127.0.0.1", 5002))
                for _ in range(200):
                    raw.sendto(datagram("127.0.0.1", "127.0.0.1", 4000, 5002, b"x", wrong=1), ("127.0.0.1", 0))

        (lost,), counted = self.grown(there, lambda: there.run(action), "Udp.InCsumErrors")
        of_them = packets(counted, protocol="UDP", **because("UDP_CSUM", "(__)?udp.*rcv.*"))
        print(f"    Udp.InCsumErrors {lost}, reported {of_them}")
        self.assertEqual((lost, of_them), (200, 200), listed(counted))

    def test_two_namespaces_at_once(self):
        one, other = self.namespace(), self.namespace()
        before = one.counts(), other.counts()

        def work():
            for _ in range(5):
                one.run(fill_udp(socket.AF_INET, "127.0.0.1", "127.0.0.1", 100))
                other.run(to_closed_port(socket.AF_INET, "127.0.0.1", 70))

        reports = self.traced(work)
        full = one.counts()["Udp.RcvbufErrors"] - before[0]["Udp.RcvbufErrors"]
        closed = other.counts()["Udp.NoPorts"] - before[1]["Udp.NoPorts"]
        of_one, of_other = sums(reports, one.cgroup.path), sums(reports, other.cgroup.path)
        print(f"    RcvbufErrors {full}, reported {packets(of_one)}; NoPorts {closed}, reported {packets(of_other)}")
        self.assertEqual((packets(of_one), packets(of_other)), (full, closed), listed(of_one) + listed(of_other))

    def test_only_the_cgroup_that_was_asked_for(self):
        one, other = self.namespace(), self.namespace()

        def work():
            for there in (one, other):
                there.run(to_closed_port(socket.AF_INET, "127.0.0.1", 50))

        reports = self.traced(work, f"--cgroup={one.cgroup.path}")
        self.assertEqual({row["entity"]["cgroup"] for report in reports for row in report["rows"]}, {one.cgroup.path})
        self.assertGreater(packets(sums(reports, one.cgroup.path)), 0)


    def test_a_socket_in_the_namespace_of_the_host(self):
        """Its own count of drops is in /proc/net/udp. Before 6.11 the kernel does not tell whose it was."""
        cgroup = self.enter(SocketCgroup())
        told = []

        def work():
            with live.Child(sends_to_itself, cgroup=cgroup) as child:
                child.ask()
                told.append(drops_of_port(5007))

        counted = sums(self.traced(work), cgroup.path)
        of_them = packets(counted, owner="socket", **because("SOCKET_RCVBUFF", ".*"))
        print(f"    /proc/net/udp: {told[0]}, reported {of_them} of the cgroup")
        self.assertGreater(told[0], 100)
        self.assertEqual(of_them, told[0] if RECEIVERS else 0, listed(counted))

    def test_a_namespace_without_processes(self):
        there = self.namespace()
        name = self.enter(net.named_namespace(f"vtrace-test-{there.pid}"))
        peer = ("peer", "name", "veth0", "netns", name)
        net.ran("ip", "link", "add", "veth0", "netns", str(there.pid), "type", "veth", *peer)
        there.ip("ip", "address", "add", "10.7.0.1/24", "dev", "veth0")
        there.ip("ip", "link", "set", "veth0", "up")
        net.ran("ip", "-n", name, "address", "add", "10.7.0.2/24", "dev", "veth0")
        net.ran("ip", "-n", name, "link", "set", "veth0", "up")

        def no_ports():
            text = net.ran("ip", "netns", "exec", name, "cat", "/proc/net/snmp")
            names, values = (line.split() for line in text.splitlines() if line.startswith("Udp:"))
            return int(values[names.index("NoPorts")])

        before = no_ports()
        reports = self.traced(lambda: there.run(to_closed_port(socket.AF_INET, "10.7.0.2", 60)))
        lost = no_ports() - before
        counted = sums(reports, f"netns {name}")
        why = because("NO_SOCKET", "__udp.*_lib_rcv")
        of_them = packets(counted, protocol="UDP", device="veth0", owner="netns", **why)
        print(f"    Udp.NoPorts {lost}, reported {of_them} of {name}")
        self.assertGreater(lost, 0)
        self.assertEqual(of_them, lost, listed(counted))

    def test_a_container(self):
        docker = self.enter(engines.Docker())
        _, pid = docker.run("web")
        there = net.Net(pid, CgroupOf(pid))
        before = there.counts()
        host = ("env", f"DOCKER_HOST=unix://{docker.socket}")
        work = fill_udp(socket.AF_INET, "127.0.0.1", "127.0.0.1", 300)
        reports = self.traced(lambda: there.run(work), "--container=web", prefix=host)
        lost = there.counts()["Udp.RcvbufErrors"] - before["Udp.RcvbufErrors"]
        counted = sums(reports, "container web")
        print(f"    Udp.RcvbufErrors {lost}, reported {packets(counted)} of the container")
        self.assertGreater(lost, 100)
        self.assertEqual(packets(counted), lost, listed(counted))


def frames(types, each):
    """Of protocols that nobody takes, to a device that gives them back."""

    def action():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.bind(("lo", 0))
            for ether in types:
                for _ in range(each):
                    raw.send(bytes(12) + ether.to_bytes(2, "big") + bytes(20))

    return action


class Room(NetTest):
    def test_more_kinds_than_there_is_room_for(self):
        """What finds no room is counted; room that is given back takes no count along, and gives none to another."""
        there = self.namespace()
        many, later = range(0xA000, 0xA000 + 5000), range(0xA000 + 3500, 0xA000 + 6500)

        def dropped():
            return int(there.ip("cat", "/proc/net/dev").split("lo:")[1].split()[3])

        def of_protocols(reports):
            counted = collections.Counter()
            for labels, n in sums(reports, there.cgroup.path).items():
                counted[dict(labels)["protocol"]] += n
            return {int(protocol, 16): n for protocol, n in counted.items() if protocol.startswith("0x")}

        # So long that all of them come in one window: what came before it would give its room back.
        interval = 4 if live.EMULATED else 0.5
        with live.Tracer(self.tool, "--format", "json", interval) as tracer:
            first = tracer.wait_report()
            there.run(frames(many, 2))
            lost = dropped()
            again = tracer.wait_report(first + 5)  # there is room by now
            there.run(frames(later, 3))
            lost_later = dropped() - lost
            tracer.stop()
            reports, reports_later = tracer.reports(first), tracer.reports(again)
        before = of_protocols(reports[: -len(reports_later)])
        full = live.losses(reports, "map_full")
        print(f"    dropped {lost}, reported {sum(before.values())}, {full} without room; then {lost_later}")
        self.assertEqual(lost, 2 * len(many))
        self.assertGreater(full, 0)
        self.assertEqual(sum(before.values()) + full, lost)
        self.assertEqual(lost_later, 3 * len(later))
        self.assertEqual(of_protocols(reports_later), dict.fromkeys(later, 3))


class Qdisc(NetTest):
    def test_a_limit_of_tbf(self):
        one, other = self.namespace(), self.namespace()
        net.join(one, other)
        one.ip("tc", "qdisc", "add", "dev", "veth0", "root", "tbf", "rate", "64kbit", "burst", "2000", "limit", "4000")
        before = net.dropped_by_qdisc(one, "veth0")

        def action():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for _ in range(400):
                    try:
                        sender.sendto(b"x" * 400, ("10.7.0.2", 5003))
                    except OSError as error:
                        if error.errno != errno.ENOBUFS:
                            raise

        reports = self.traced(lambda: one.run(action))
        lost = net.dropped_by_qdisc(one, "veth0") - before
        counted = sums(reports, one.cgroup.path)
        of_queue = dict(device="veth0", **because("QDISC_.*", "kfree_skb_list"))
        of_them = packets(counted, **of_queue)
        # The kernel's own neighbour discovery may find the queue full as well; it has no socket of a process.
        by_kernel = packets(counted, protocol="ICMP6", **of_queue)
        print(f"    tc -s qdisc: dropped {lost}, reported {of_them}", listed(counted))
        self.assertGreater(lost, 100)
        self.assertEqual(of_them, lost, listed(counted))
        self.assertEqual(packets(counted, owner="socket", protocol="UDP", **of_queue), lost - by_kernel, listed(counted))


class Tcp(NetTest):
    tool = "tcpdrop"

    def test_wrong_checksum(self):
        there = self.namespace()

        def action():
            with socket.socket() as listener, raw_socket() as raw:
                listener.bind(("127.0.0.1", 5004))
                listener.listen(5)
                for _ in range(200):
                    packet = segment("127.0.0.1", "127.0.0.1", 4000, 5004, TCP_SYN, wrong=1)
                    raw.sendto(packet, ("127.0.0.1", 0))

        (lost,), counted = self.grown(there, lambda: there.run(action), "Tcp.InCsumErrors")
        of_them = packets(counted, protocol="TCP", **because("TCP_CSUM", "tcp_v4_rcv"))
        print(f"    Tcp.InCsumErrors {lost}, reported {of_them}")
        self.assertEqual((lost, of_them), (200, 200), listed(counted))

    def test_a_flood_of_syns(self):
        """To a port that nobody listens at: each is dropped, and so is the reset that answers it."""
        there = self.namespace()
        count = 3_000 if live.EMULATED else 60_000

        def action():
            with raw_socket() as raw:
                for port in range(1, 1001):
                    packet = segment("127.0.0.1", "127.0.0.1", port, 5005, TCP_SYN)
                    for _ in range(count // 1000):
                        raw.sendto(packet, ("127.0.0.1", 0))

        start = time.monotonic()
        (came,), counted = self.grown(there, lambda: there.run(action), "Tcp.InSegs")
        seconds = time.monotonic() - start
        of_them = packets(counted, protocol="TCP", state="no socket", **because("NO_SOCKET", "tcp_v4_rcv"))
        print(f"    Tcp.InSegs {came}, reported {of_them}, in {seconds:.1f} s")
        self.assertGreaterEqual(came, 2 * count)
        self.assertEqual(of_them, came, listed(counted))

    def test_a_full_queue_of_a_listener(self):
        there = self.namespace()

        def action():
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 5006))
                listener.listen(0)
                callers = []
                for _ in range(20):
                    caller = socket.socket()
                    caller.setblocking(False)
                    caller.connect_ex(("127.0.0.1", 5006))
                    callers.append(caller)
                time.sleep(1.5)
                for caller in callers:
                    caller.close()

        before = there.counts()
        reports = self.traced(lambda: there.run(action))
        after = there.counts()
        rows = [live.row_of(report, there.cgroup.path) for report in reports]
        for key, metric in (("TcpExt.ListenDrops", "listen_drops"), ("TcpExt.ListenOverflows", "listen_overflows")):
            refused = after[key] - before[key]
            told = sum(row["metrics"][metric]["value"] for row in rows if row and metric in row["metrics"])
            print(f"    {key} {refused}, reported {told}")
            self.assertGreater(refused, 0)
            self.assertEqual(told, refused)


if __name__ == "__main__":
    unittest.main()
