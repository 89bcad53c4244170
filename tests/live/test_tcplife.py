#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace tcplife` against clients and servers that count what they send and receive, and against the kernel."""

import socket
import time
import unittest

import net_live as net
import vtrace_live as live
from net_live import SEGMENT, Hole


class Life(net.TcpTestCase):
    TOOL = "tcplife"

    def setUp(self):
        super().setUp()
        self.server, ((self.client, self.wire),) = self.containers(1)

    def pair(self, port, family=socket.AF_INET):
        address = self.wire.near_v4 if family == socket.AF_INET else self.wire.near_v6
        return net.pair(self.client, self.server, address, port, family)[0]

    def end(self, *connections, left=0):
        """Closes them, the first one first, and waits until there are no sessions but so many ends."""
        for one in connections:
            one.close()
        live.until(lambda: self.client.counts()["CurrEstab"] + self.server.counts()["CurrEstab"] == left,
                   "the sessions end", every=0.005)
        time.sleep(net.SNMP_AT_REST)

    def check(self, reports, sent, received, **more):
        """Of the client, and the other way round of the server."""
        self.check_counters(reports, self.client, bytes_sent=sent, bytes_received=received, **more)
        self.check_counters(reports, self.server, bytes_sent=received, bytes_received=sent, **more)


class Volume(Life):
    @live.measured
    def test_of_sessions_of_each_size(self):
        """To the byte; of small ones, which are packets, to the segment as well."""
        before = self.client.counts()
        sizes = ((0, 0), (1, 0), (0, 1), (1, 1), (700, 3))

        def small():
            for port, (request, reply) in enumerate(sizes, 80):
                with self.server.serving(port, request, reply):
                    self.client.connect(9, request, reply, f"{self.wire.near_v4}:{port}",
                                        f"[{self.wire.near_v6}]:{port}", f"[::ffff:{self.wire.near_v4}]:{port}")

        reports = self.traced(small)
        count = 9 * len(sizes)
        self.check(reports, 9 * 702, 9 * 5, sessions=count, duration=count)
        kernel = self.client.counts_at_rest() - before
        self.check_counters(reports, self.client, segments_sent=kernel["OutSegs"] + kernel["RetransSegs"],
                            segments_received=kernel["InSegs"], retransmitted=kernel["RetransSegs"])
        peers = net.peers(reports, self.client)
        for port, (request, reply) in enumerate(sizes, 80):
            v4, v6 = (peers["out", f"{address}:{port}"] for address in (self.wire.near_v4, f"[{self.wire.near_v6}]"))
            self.assertEqual((v4["sessions"], v6["sessions"]), (6, 3))
            self.assertEqual([(n["bytes_sent"], n["bytes_received"]) for n in (v4, v6)],
                             [(6 * request, 6 * reply), (3 * request, 3 * reply)])

        def large():
            with self.server.serving(79, 3_000_000, 5_000_000):
                self.client.connect(4, 3_000_000, 5_000_000, f"{self.wire.near_v4}:79", f"[{self.wire.near_v6}]:79")

        self.check(self.traced(large), 12_000_000, 20_000_000, sessions=4)

    @live.measured
    def test_however_they_end(self):
        """Half closed for a while; by a reset; by a reset of what was not read; by both sides at once."""

        def half_closed():
            one, other = self.pair(80)
            net.send(one, other, 1000)
            one.shutdown(socket.SHUT_WR)
            self.assertEqual(other.recv(1), b"")
            net.send(other, one, 50_000)
            self.end(other, one)

        def reset():
            one, other = self.pair(81)
            net.send(one, other, 2000)
            net.send(other, one, 20)
            net.abort(one)
            self.assertRaises(ConnectionResetError, other.recv, 1)
            self.end(other)

        def not_read():
            one, other = self.pair(82)
            one.sendall(bytes(300))
            live.until(lambda: net.tcp_info(other).bytes_received == 300, "all has arrived", every=0.001)
            net.wait_acknowledged(one)
            self.end(other, one)

        def both_at_once():
            one, other = self.pair(83)
            net.send(one, other, 10)
            with Hole(self.client, self.wire.device, self.wire.near_v4):
                one.close()
                other.close()
            self.end()
            time.sleep(0.5)  # until the FIN was sent again

        for work, sent, received in ((half_closed, 1000, 50_000), (reset, 2000, 20), (not_read, 300, 0),
                                     (both_at_once, 10, 0)):
            print(f"    {work.__name__}", flush=True)
            self.check(self.traced(work), sent, received, sessions=1, duration=1)

    @live.measured
    def test_what_does_not_get_out_at_once(self):
        """What its own queue refuses is sent later, and is payload once."""
        one, other = self.pair(80)

        def work():
            net.send(one, other, 1)
            self.client.tc(f"qdisc add dev {self.wire.device} root tbf rate 8kbit burst 50 limit 50")
            one.sendall(bytes(5 * SEGMENT))
            time.sleep(0.7)
            self.client.tc(f"qdisc del dev {self.wire.device} root")
            net.receive(other, 5 * SEGMENT)
            self.end(one, other)

        self.check(self.traced(work), 5 * SEGMENT + 1, 0, sessions=1)

    @live.measured
    def test_data_in_a_syn(self):
        """TCP fast open: of the second connection, the SYN has the request already."""
        for each in (self.client, self.server):
            each.sysctl("ipv4/tcp_fastopen", 3)
        listener = self.enter(self.server.listener(80))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)

        def work():
            for one in self.client.sockets(2):
                one.sendto(bytes(100), socket.MSG_FASTOPEN, (self.wire.near_v4, 80))
                other, _ = listener.accept()
                net.receive(other, 100)
                net.send(other, one, 10)
                self.end(one, other)

        before = self.client.counts()
        reports = self.traced(work)
        self.assertEqual(self.client.counts()["TCPFastOpenActive"] - before["TCPFastOpenActive"], 1)
        self.check(reports, 200, 20, sessions=2, duration=2)

    @live.measured
    def test_sessions_that_stay(self):
        """Those that were there before, and those that go on from one window to the next: of each window its own."""
        old, old_other = self.pair(80)
        old6, old6_other = self.pair(81, socket.AF_INET6)
        net.send(old, old_other, 100_000)
        net.send(old6_other, old6, 100_000)

        with live.Tracer("tcplife", "--format", "json", 0.5) as tracer:
            first = tracer.wait_report()
            # The sockets are there, and nothing of what they did before.
            net.send(old, old_other, 111)
            net.send(old6_other, old6, 222)
            new, new_other = self.pair(82)
            net.send(new, new_other, 333)
            second = tracer.wait_report(len(tracer.reports()) + 2)
            net.send(new, new_other, 444)
            net.send(old_other, old, 555)
            third = tracer.wait_report(len(tracer.reports()) + 2)
            self.end(new, new_other, old, old_other, left=2)
            tracer.stop()
            reports = tracer.reports()
            early, late = tracer.reports(first)[: second - first], tracer.reports(second)
        self.assertTrue(third)
        for key in net.LOSSES:
            self.assertEqual(live.losses(reports, key), 0, key)
        self.check(early, 111 + 333, 222, sessions=0)
        self.check(late, 444, 555, sessions=2)
        # How long those were there that were there before, nobody knows.
        self.check_counters(late, self.client, duration=1)
        gauges = [row["metrics"]["open_sessions"]["value"] for row in net.rows(reports, self.client)]
        self.assertEqual((gauges[0], max(gauges), gauges[-1]), (2, 3, 1))
        by_side = {(side, name.rsplit(":", 1)[1]): n["bytes_sent"] for (side, name), n in
                   net.peers(reports, self.client).items()}
        self.assertEqual(by_side, {("out", "80"): 111, ("out", "81"): 0, ("out", "82"): 777})
        self.end(old6, old6_other)

    @live.measured
    def test_a_busy_session_is_read_time_and_again(self):
        """While its counts change: no report has more than the truth, nor have all of them."""
        size = 20_000_000 if live.EMULATED else 300_000_000
        with self.server.serving(80, size, size):
            with live.Tracer("tcplife", "--format", "json", 0.02) as tracer:
                tracer.wait_report()
                self.client.connect(2, size, size, f"{self.wire.near_v4}:80")
                tracer.stop()
                reports = tracer.reports()
        for end in (self.client, self.server):
            for name in ("bytes_sent", "bytes_received"):
                found = [row["metrics"][name]["value"] for row in net.rows(reports, end)]
                self.assertLessEqual(max(found), 2 * size)
                self.assertEqual(sum(found), 2 * size)
        print(f"    {len(reports)} reports", flush=True)

    @live.on_any_kernel
    @live.measured
    def test_duration(self):
        """Of sessions of known length, a TIME-WAIT not counted."""
        lengths = (0.01, 0.05, 0.2)
        took = []

        def work():
            for port, length in enumerate(lengths, 80):
                one, other = self.pair(port)
                begin = time.monotonic_ns()
                time.sleep(length)
                one.close()
                other.close()
                took.append(time.monotonic_ns() - begin)
            self.end()

        reports = self.traced(work)
        slack = len(lengths) * (5e6 if live.EMULATED else 1e6)
        for container in (self.client, self.server):
            duration = net.histogram(reports, container, "duration")
            self.assertEqual(duration.count, len(lengths))
            self.assertAlmostEqual(duration.sum, sum(took), delta=slack)
            self.assertGreaterEqual(duration.max, 200e6)

    @live.on_any_kernel
    @live.measured
    def test_slow_ones_one_by_one(self):
        slow = 1.0 if live.EMULATED else 0.1
        with live.Tracer("tcplife", "--slower", round(1000 * slow), "--format", "json", 0.5) as tracer:
            tracer.wait_report()
            short, short_other = self.pair(80)
            long, long_other = self.pair(81, socket.AF_INET6)
            net.send(long, long_other, 1234)
            ends = [end.getsockname()[:2] for end in (long, long_other)]
            self.end(short_other, short, left=2)
            time.sleep(slow)
            self.end(long, long_other)
            tracer.wait_report(len(tracer.reports()) + 1)
            tracer.stop()
            events = [e for e in tracer.events() if e["entity"]["cgroup"] in (self.client.path, self.server.path)]
        self.assertEqual(sorted(e["entity"]["cgroup"] for e in events), sorted((self.client.path, self.server.path)))
        for event in events:
            self.assertGreaterEqual(event["duration_ns"], 1e9 * slow)
            own, other = ends if event["side"] == "out" else reversed(ends)
            self.assertEqual((event["local"], event["local_port"], event["remote"], event["remote_port"]), own + other)
            self.assertEqual((event["bytes_sent"], event["bytes_received"]),
                             (1234, 0) if event["side"] == "out" else (0, 1234))


class Many(Life):
    COUNT = 5_000 if live.EMULATED else 50_000

    @live.measured
    def test_each_short_one_is_counted(self):
        """IPv4, IPv6 and mapped addresses, as fast as two processes can, which are gone before the report."""
        truth = {}

        def work():
            with self.server.serving(80, 1, 2) as served:
                truth["client"] = self.client.connect(
                    self.COUNT, 1, 2, f"{self.wire.near_v4}:80", f"[{self.wire.near_v6}]:80",
                    f"[::ffff:{self.wire.near_v4}]:80")
                truth["server"] = served

        begun = time.monotonic()
        reports = self.traced(work, losses=("map_full", "clock_anomaly", "ring_dropped"))
        print(f"    {self.COUNT} in {time.monotonic() - begun:.1f} s", flush=True)
        unseen = sum(live.losses(reports, key) for key in ("missed_start", "recursion_misses"))
        # There are kernels that run no program while their first process is on the CPU.
        self.assertLessEqual(unseen, self.COUNT // 200)
        self.assertEqual(truth["server"]["sessions"], self.COUNT)
        for container, sent, received in ((self.client, 1, 2), (self.server, 2, 1)):
            found = net.counters(reports, container)
            print(f"    {found['sessions']} sessions, {found['bytes_sent']} bytes sent, "
                  f"{found['bytes_received']} received, {unseen} unseen", flush=True)
            for name, count in (("sessions", self.COUNT), ("duration", self.COUNT), ("bytes_sent", sent * self.COUNT),
                                ("bytes_received", received * self.COUNT)):
                self.assertLessEqual(found[name], count)
                self.assertGreaterEqual(found[name] + 2 * unseen, count)
                if not unseen:
                    self.assertEqual(found[name], count)

    PEERS = 2300  # of each side
    ROOM = 4096

    @live.on_any_kernel
    @live.measured
    def test_more_peers_than_there_is_room_for(self):
        """Together they are exact; those without a row of their own are one, and the ledger has how many they are."""
        with self.client.serving(80, 1, 1):
            # One report: from one to the next, room that nobody uses is given away.
            with live.Tracer("tcplife", "--format", "json", "--by", "remote,local,port") as tracer:
                live.until(lambda: any("inet_sock_set_state" in text for text in live.fdinfo(tracer.pid)),
                           "vtrace has attached its programs")
                tracer.wait_poll()
                places = [f"127.1.{i >> 8}.{i & 255}:80" for i in range(self.PEERS)]
                self.client.connect(self.PEERS + 100, 1, 1, *places)
                tracer.stop()
                reports = tracer.reports()
            self.unseen = live.losses(reports, "recursion_misses")
        count = self.PEERS + 100
        # Of both sides, as both are in one container.
        self.check_counters(reports, self.client, sessions=2 * count, bytes_sent=2 * count, bytes_received=2 * count)
        peers = net.peers(reports, self.client)
        self.assertEqual(sum(n["sessions"] for n in peers.values()), 2 * count)
        self.assertGreater(live.losses(reports, "map_full"), 2 * self.PEERS - self.ROOM)
        others = sum(n["sessions"] for (_, name), n in peers.items() if name == "other")
        self.assertGreaterEqual(others, 2 * self.PEERS - self.ROOM)


if __name__ == "__main__":
    unittest.main()
