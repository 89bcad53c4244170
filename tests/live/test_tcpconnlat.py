#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace tcpconnlat` against clients that count and time themselves, and against the kernel's counts."""

import errno
import socket
import time
import unittest

import engines_live as engines
import net_live as net
import vtrace_live as live
from net_live import TCP_RST, TCP_SYN, Hole, Relay, start_connect, wait_error

# A mean may be off by either of both.
NEAR, NEAR_NS = 0.05, 300_000 if live.EMULATED else 10_000


class Connlat(net.TcpTestCase):
    TOOL = "tcpconnlat"

    def check_near(self, figure, truth, what, bound=0.0):
        """`bound`: of the figure's own error, as a share of it."""
        print(f"    {what}: {figure / 1e3:.2f} us, by the client itself {truth / 1e3:.2f} us", flush=True)
        self.assertAlmostEqual(figure, truth, delta=max(NEAR * truth, NEAR_NS) + bound * truth, msg=what)


class Counts(Connlat):
    @live.measured
    def test_who_connected_and_who_was_connected_to(self):
        """IPv4, IPv6 and mapped addresses, of two containers; nothing is a third one's."""
        server, ((one, near), (other, far), (idle, _)) = self.containers(3)
        before = [each.counts() for each in (server, one, other)]

        def work():
            with server.serving(80), server.serving(443):
                one.connect(60, 0, 0, f"{near.near_v4}:80", f"[{near.near_v6}]:443", f"[::ffff:{near.near_v4}]:443")
                other.connect(7, 0, 0, f"{far.near_v4}:443")

        reports = self.traced(work)
        for container, was, opened, accepted in zip((server, one, other), before, (0, 60, 7), (67, 0, 0)):
            now = container.counts()
            self.assertEqual((now["ActiveOpens"] - was["ActiveOpens"], now["PassiveOpens"] - was["PassiveOpens"]),
                             (opened, accepted))
            self.check_counters(reports, container, connected=opened, accepted=accepted, connect=opened,
                                accept=accepted, failed=0)
        self.check_nothing(reports, idle)
        v4, v6 = near.near_v4, near.near_v6
        self.assertEqual({peer: n["connected"] for peer, n in net.peers(reports, one).items()},
                         {("out", f"{v4}:80"): 20, ("out", f"{v4}:443"): 20, ("out", f"[{v6}]:443"): 20})
        self.assertEqual({peer: n["accepted"] for peer, n in net.peers(reports, server).items()},
                         {("in", f"{near.far_v4} to :80"): 20, ("in", f"{near.far_v4} to :443"): 20,
                          ("in", f"{near.far_v6} to :443"): 20, ("in", f"{far.far_v4} to :443"): 7})

    @live.on_any_kernel
    @live.measured
    def test_what_tells_peers_apart(self):
        server, ((one, near),) = self.containers(1)

        def work():
            with server.serving(80), server.serving(443):
                one.connect(12, 0, 0, f"{near.near_v4}:80", f"{near.near_v4}:443", f"[{near.near_v6}]:80")

        v4, v6 = near.near_v4, near.near_v6
        for options, expected in (
                (("--by", "remote"), {v4: 8, v6: 4}),
                (("--by", "port"), {"80": 8, "443": 4}),
                (("--subnet", "16,16"), {"10.7.0.0/16:80": 4, "10.7.0.0/16:443": 4, None: 4})):
            print(f"    {options}", flush=True)
            found = net.peers(self.traced(work, *options), one)
            named = {name: n["connected"] for (_, name), n in found.items()}
            self.assertEqual(sorted(named.values()), sorted(expected.values()), named)
            for name in filter(None, expected):
                (match,) = [n for n in named if n.strip("[]*:") == name]
                self.assertEqual(named[match], expected[name])
        v6_subnet = [name for _, name in found if name.startswith("[")]
        self.assertEqual(v6_subnet, ["[fd07::/16]:80"], found)

    @live.on_any_kernel
    @live.measured
    def test_whoever_uses_a_socket_it_is_its_makers(self):
        """Processes that are gone when the report is made; and sockets that another process connects."""
        server, ((one, near),) = self.containers(1)
        listener = self.enter(server.listener(80))

        def work():
            made = one.sockets(25)
            for each in made:
                each.connect((near.near_v4, 80))
                listener.accept()[0].close()
                each.close()

        reports = self.traced(work)
        self.check_counters(reports, one, connected=25, failed=0)
        self.check_counters(reports, server, accepted=25, connected=0)

    @live.on_any_kernel
    @live.measured
    def test_in_a_container(self):
        podman = self.enter(engines.Podman())
        name, pid = podman.run("net-1")
        container = net.ContainerOf(pid)

        def work():
            with container.serving(80, 1, 1):
                container.connect(40, 1, 1, "127.0.0.1:80")

        reports = self.traced(work, "--container")
        of_it = [row for report in reports for row in report["rows"]
                 if row["entity"]["kind"] == "container" and row["entity"]["cgroup"] == container.path]
        self.assertIn(name[:12], str(of_it))
        for counter in ("connected", "accepted"):
            self.assertEqual(sum(row["metrics"][counter]["value"] for row in of_it), 40, counter)


class Latency(Connlat):
    waited = False  # the client, for a CPU, as well as for an answer

    def disturbed(self):
        return self.waited or super().disturbed()

    def timed(self, server, count, *clients):
        """The reports on connects of clients, (container, address), to a server who does not wait for them: in the
        last step of a connect() it would be woken up. And for each client [(what a connect() took, what round trip
        the kernel has of it)]."""
        listener = server.listener(80)
        made = [container.sockets(count) for container, _ in clients]
        took = [[] for _ in clients]
        waited = live.schedstat("thread-self")[1]

        def work():
            for (_, address), sockets, times in zip(clients, made, took, strict=True):
                for each in sockets:
                    begin = time.monotonic_ns()
                    each.connect((address, 80))
                    times.append((time.monotonic_ns() - begin, 1000 * net.tcp_info(each).rtt))

        with listener:
            reports = self.traced(work)
        waited = live.schedstat("thread-self")[1] - waited
        self.waited = waited > 0.02 * sum(ns for times in took for ns, _ in times)
        return reports, *took

    def check_times(self, connect, took):
        times, rtts = zip(*took, strict=True)
        count = len(times)
        self.assertEqual(connect.count, count)
        self.check_near(connect.median, sorted(times)[count // 2], "median", bound=1 / 16)  # of the histogram
        # It is a part of what connect() takes, and has the kernel's first round trip in it, of whole microseconds.
        self.assertLessEqual(connect.sum, sum(times))
        self.assertGreaterEqual(connect.sum, sum(rtts) - 1000 * count)
        self.check_near(connect.sum / count, sum(rtts) / count, "mean, by the kernel's first round trips")

    @live.measured
    def test_of_a_fast_wire(self):
        server, ((one, near),) = self.containers(1)
        reports, took = self.timed(server, 200 if live.EMULATED else 400, (one, near.near_v4))
        self.check_times(net.histogram(reports, one, "connect"), took)
        accept = net.histogram(reports, server, "accept")
        self.assertEqual(accept.count, len(took))
        self.assertLessEqual(accept.sum, sum(ns + 1000 for ns, _ in took))

    @live.on_any_kernel
    @live.measured
    def test_of_a_slow_wire(self):
        """15 ms there and 15 ms back: for the client and, from its SYN-ACK to the ACK, for the server."""
        server, client = self.enter(net.Container()), self.enter(net.Container())
        relay = self.enter(Relay(client, server, 0.015))
        reports, took = self.timed(server, 10, (client, relay.far_v4))
        connect, accept = net.histogram(reports, client, "connect"), net.histogram(reports, server, "accept")
        self.check_times(connect, took)
        self.assertGreater(connect.sum, 10 * 30e6)
        # As long, but for what the two ends of the wire are held up by; the last ACK may still be on its way.
        self.assertGreaterEqual(accept.count, 9)
        self.assertGreater(accept.sum, accept.count * 30e6)
        self.assertAlmostEqual(accept.sum / accept.count / 1e6, 30, delta=30 if live.EMULATED else 5)

    @live.measured
    def test_netem(self):
        """The same by the kernel's own emulator of networks, where there is one; of a sibling's wire not."""
        server, ((one, near), (other, far)) = self.containers(2)
        if not one.add_netem(near.device, "delay 20ms"):
            self.skipTest("the kernel has no netem")
        reports, took, _ = self.timed(server, 15, (one, near.near_v4), (other, far.near_v4))
        connect = net.histogram(reports, one, "connect")
        self.check_times(connect, took)
        self.assertGreater(connect.sum, 15 * 20e6)
        self.assertLess(net.histogram(reports, other, "connect").max, 20e6)

    @live.on_any_kernel
    @live.measured
    def test_of_a_full_queue(self):
        """What waits before it in a token bucket, the SYN waits for."""
        server, ((one, near), (other, far)) = self.containers(2)
        one.tc(f"qdisc add dev {near.device} root tbf rate 1mbit burst 2000 limit 100000")
        (connection,) = one.sockets()
        with one.inside():
            filler = self.enter(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        listener = self.enter(server.listener(80))
        took = []

        def work():
            # 12,000 bytes at 125,000 a second: 96 ms, less the burst.
            for _ in range(12):
                filler.sendto(bytes(1000), (near.near_v4, 9))
            begin = time.monotonic_ns()
            connection.connect((near.near_v4, 80))
            took.append(time.monotonic_ns() - begin)
            listener.accept()
            (free,) = other.sockets()
            free.connect((far.near_v4, 80))
            listener.accept()

        reports = self.traced(work)
        connect = net.histogram(reports, one, "connect")
        self.assertGreater(took[0], 50e6)
        self.check_near(connect.sum, took[0], "behind 12 datagrams")
        self.assertLess(net.histogram(reports, other, "connect").sum, 50e6)

    @live.measured
    def test_first_byte(self):
        """From the SYN to the first byte of an answer, which takes its time; not to the SYN-ACK."""
        server, ((one, near),) = self.containers(1)
        listener = self.enter(server.listener(80))
        took = []

        def work():
            for number, each in enumerate(one.sockets(6)):
                begin = time.monotonic_ns()
                each.connect((near.near_v4, 80))
                accepted, _ = listener.accept()
                each.sendall(b"?")
                accepted.recv(1)
                time.sleep(0.02)
                if number < 5:  # the last is closed without a byte
                    accepted.sendall(b"!")
                    each.recv(1)
                    took.append(time.monotonic_ns() - begin)
                accepted.close()
                each.recv(1)
                each.close()

        reports = self.traced(work, "--ttfb")
        first = net.histogram(reports, one, "first_byte")
        self.assertEqual(first.count, 5)
        self.check_near(first.sum / 5, sum(took) / 5, "first byte")
        self.check_counters(reports, one, connected=6, no_first_byte=1)
        self.check_counters(reports, server, first_byte=0, no_first_byte=0)

    @live.measured
    def test_first_byte_of_who_has_nothing_more_to_say(self):
        """The answer comes when the connection is closed one way already, where the kernel tells of no segment: that
        there was one is known, and not when."""
        server, ((one, near),) = self.containers(1)

        def work():
            with server.serving(80, 2, 1):
                for each in one.sockets(3):
                    each.connect((near.near_v4, 80))
                    each.sendall(b"?")
                    each.shutdown(socket.SHUT_WR)
                    self.assertEqual(each.recv(1), bytes(1))
                    each.close()

        found = net.counters(self.traced(work, "--ttfb"), one)
        self.assertEqual((found["connected"], found["first_byte"] + found["untimed"], found["no_first_byte"]),
                         (3, 3, 0))


class Failures(Connlat):
    @live.measured
    def test_each_cause(self):
        """As often as the errors say that connect() gave."""
        server, ((one, near), (other, far)) = self.containers(2)
        one.ip(f"route add 10.99.0.0/16 via {near.near_v4}")
        for version in ("ipv4", "ipv6"):  # of a neighbour that is not there, one is told at once, not after 3 s
            one.sysctl(f"{version}/neigh/{near.device}/mcast_solicit", 1)
            one.sysctl(f"{version}/neigh/{near.device}/retrans_time_ms", 200)
        server.sysctl("ipv4/ip_forward", 1)
        server.sysctl("ipv4/icmp_ratelimit", 0)
        server.ip("route add unreachable 10.99.0.0/16")
        other.sysctl("ipv4/ip_local_port_range", "20000 20003")
        listener = self.enter(server.listener(80))
        silent = f"10.7.{near.near_v4.split('.')[2]}.77"
        # How many, to where, and what becomes of them.
        planned = ((5, near.near_v4, errno.ECONNREFUSED), (4, near.near_v6, errno.ECONNREFUSED),
                   (2, "10.99.0.1", errno.EHOSTUNREACH),  # a router's word
                   (1, silent[:-2] + "78", errno.EHOSTUNREACH), (1, near.near_v6[:-1] + "78", errno.EHOSTUNREACH),
                   (3, silent, errno.ETIMEDOUT))

        def work():
            begun = []
            with Hole(one, near.device, silent):
                for count, address, error in planned:
                    for each in one.sockets(count, socket.AF_INET6 if ":" in address else socket.AF_INET):
                        start_connect(each, address, 81, error == errno.ETIMEDOUT)
                        begun.append((each, error))
                for each in one.sockets(6):  # its owner does not wait
                    start_connect(each, silent, 80)
                    each.close()
                # As many as there are ports, and two more.
                kept = other.sockets(6)
                errors = [each.connect_ex((far.near_v4, 80)) for each in kept]
                self.assertEqual(errors, 4 * [0] + 2 * [errno.EADDRNOTAVAIL])
                for each, error in begun:
                    self.assertEqual(wait_error(each), error)
            for each in kept:
                each.close()

        reports = self.traced(work)
        self.check_counters(reports, one, failed=22, refused=9, timed_out=3, unreachable=4, closed=6, reset=0,
                            not_sent=0, connected=0, connect=0)
        self.check_counters(reports, other, failed=2, not_sent=2, refused=0, timed_out=0, unreachable=0, closed=0,
                            connected=4, connect=4)
        self.check_counters(reports, server, failed=0, accepted=4)
        del listener

    @live.measured
    def test_reset(self):
        """Both sides send a SYN at once, and then one thinks better of it: written by hand, as nobody does it."""
        server, ((one, near),) = self.containers(1)
        number = near.near_v4.split(".")[2]
        stranger = f"10.7.{number}.66"  # it is at the server, who does not know of it
        one.ip(f"neigh replace {stranger} lladdr {net.hardware_address(server, near.device)} dev {near.device}")
        with server.inside():
            raw = self.enter(net.raw_socket())
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, near.device.encode())
        (connection,) = one.sockets()

        def work():
            start_connect(connection, stranger, 80)
            port = connection.getsockname()[1]
            for packet in (net.segment(stranger, near.far_v4, 80, port, TCP_SYN, sequence=1),
                           net.segment(stranger, near.far_v4, 80, port, TCP_RST, sequence=2)):
                raw.sendto(packet, (near.far_v4, 0))
            self.assertEqual(wait_error(connection), errno.ECONNRESET)

        self.check_counters(self.traced(work), one, failed=1, reset=1, refused=0, connected=0)

    @live.on_any_kernel
    @live.measured
    def test_a_socket_that_tries_again(self):
        server, ((one, near),) = self.containers(1)
        listener = self.enter(server.listener(80))

        def work():
            for each in one.sockets(3):
                self.assertEqual(each.connect_ex((near.near_v4, 81)), errno.ECONNREFUSED)
                self.assertEqual(each.connect_ex((near.near_v4, 80)), 0)
                each.close()
                listener.accept()[0].close()

        self.check_counters(self.traced(work), one, connected=3, connect=3, failed=3, refused=3)

    @live.on_any_kernel
    @live.measured
    def test_what_is_in_progress(self):
        """A connect that nobody answers is listed with its age, and is a failure when it is given up."""
        _, ((one, near),) = self.containers(1)
        (connection,) = one.sockets()
        silent = f"10.7.{near.near_v4.split('.')[2]}.77"
        with Hole(one, near.device, silent), \
                live.Tracer("tcpconnlat", "--format", "json", 0.5) as tracer:
            first = tracer.wait_report()
            begun = time.monotonic_ns()
            start_connect(connection, silent, 8080)
            tracer.wait_report(len(tracer.reports()) + 3)
            connection.close()
            ended = time.monotonic_ns()
            tracer.stop()
            reports = tracer.reports(first)
        seen = [o for report in reports for o in report.get("connecting", ())
                if o["entity"]["cgroup"] == one.path]
        self.assertGreaterEqual(len(seen), 2, reports[-1])
        ages = [o["age_ns"] for o in seen]
        self.assertEqual(ages, sorted(ages))
        self.assertTrue(400e6 < ages[-1] <= ended - begun, ages)
        self.assertEqual({o["peer"]["name"] for o in seen}, {f"{silent}:8080"})
        self.check_counters(reports, one, failed=1, closed=1)


class Flood(Connlat):
    COUNT = 2_000 if live.EMULATED else 20_000

    @live.on_any_kernel
    @live.measured
    def test_of_syns(self):
        """From random addresses, none of which answers: none is a connection, and those that are ones are exact."""
        server, ((one, near), (attacker, far)) = self.containers(2)
        server.sysctl("ipv4/tcp_synack_retries", 0)
        server.ip(f"route add 192.0.2.0/24 dev {far.device}", f"route add 198.18.0.0/15 dev {far.device}")
        server.sysctl("ipv4/conf/all/rp_filter", 0)
        with attacker.inside():
            raw = self.enter(net.raw_socket())
        before = server.counts()

        def work():
            with server.serving(80, 1, 1):
                client = one.start("connect", 500, 1, 1, f"{near.near_v4}:80")
                for i in range(self.COUNT):
                    source = f"198.{18 + (i >> 16 & 1)}.{i >> 8 & 255}.{i & 255}"
                    raw.sendto(net.segment(source, far.near_v4, 1024 + i % 60000, 80, TCP_SYN, sequence=i),
                               (far.near_v4, 0))
                net.told(client)

        reports = self.traced(work)
        now = server.counts()
        print(f"    {self.COUNT} SYNs; cookies {now['SyncookiesSent'] - before['SyncookiesSent']}", flush=True)
        self.assertGreaterEqual(now["InSegs"] - before["InSegs"], self.COUNT)
        self.check_counters(reports, one, connected=500, failed=0)
        self.check_counters(reports, server, accepted=500, failed=0)


if __name__ == "__main__":
    unittest.main()
