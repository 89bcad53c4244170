#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace tcpretrans` against the kernel's counts of segments sent again, and against who loses them."""

import collections
import re
import socket
import unittest

import net_live as net
import vtrace_live as live
from net_live import SEGMENT, TCP_SYN, Hole, Relay, start_connect, wait_error

# What the kernel counts.
NAMES = ("RetransSegs TCPTimeouts TCPLossProbes TCPSynRetrans TCPFastRetrans TCPSlowStartRetrans"
         " TCPRetransFail").split()


class Retrans(net.TcpTestCase):
    TOOL = "tcpretrans"

    def retransmits(self, work, *containers, **options):
        """The reports on what `work` did, and for each container {kind: segments} and the kernel's counts; together
        with those of each kind they are as many as the kernel has."""
        before = [each.counts_at_rest() for each in containers]
        # Sockets of namespaces that nobody is in any more, of other tests, say, send again, too: not seen to begin.
        losses = [key for key in net.LOSSES if key != "missed_start"]
        reports = self.traced(work, **{"losses": losses, **options})
        found = []
        for container, was in zip(containers, before, strict=True):
            kernel = container.counts()
            kernel.subtract(was)
            by_kind = collections.Counter()
            for (kind, _), count in net.kinds(reports, container).items():
                by_kind[kind] += count
            told = {name: kernel[name] for name in NAMES if kernel[name]}
            print(f"    {dict(by_kind)}; the kernel: {told}", flush=True)
            self.assertEqual(by_kind.total(), kernel["RetransSegs"], container.path)
            self.assertEqual(net.counters(reports, container)["retransmitted"], kernel["RetransSegs"])
            found.append((by_kind, kernel))
        return reports, *found


class Kinds(Retrans):
    def setUp(self):
        super().setUp()
        self.server, ((self.client, self.wire), (self.idle, _)) = self.containers(2)
        self.silent = f"10.7.{self.wire.near_v4.split('.')[2]}.77"

    def hole(self):
        """Nothing that the client sends to the server arrives."""
        return Hole(self.client, self.wire.device, self.wire.near_v4)

    def wait_retransmits(self, container, count):
        start = container.counts()["RetransSegs"]
        live.until(lambda: container.counts()["RetransSegs"] >= start + count, f"{count} segments are sent again")

    @live.measured
    def test_timeouts(self):
        """Nothing arrives for a while, of three connections, one of which was there before: probes, then timeouts."""
        (old, old_other), = net.pair(self.client, self.server, self.wire.near_v4, 80)
        new, sending = [], []

        def work():
            new.extend(net.pair(self.client, self.server, self.wire.near_v4, 81, count=2))
            for one, other in (*new, (old, old_other)):
                net.send(one, other, 10 * SEGMENT)
            with self.hole():
                for one, _ in (*new, (old, old_other)):
                    one.sendall(bytes(SEGMENT))
                self.wait_retransmits(self.client, 9)
            for one, other in (*new, (old, old_other)):
                net.receive(other, SEGMENT)
                net.wait_acknowledged(one)
                sending.append(net.tcp_info(one).retransmitted)

        reports, (kinds, kernel), (none, _) = self.retransmits(work, self.client, self.server)
        self.assertFalse(none)
        self.assertEqual(kinds.total(), sum(sending))
        # What a timeout makes the kernel send again, beside the first segment: all that is lost.
        self.assertEqual(kinds["timeout"], kernel["TCPTimeouts"] + kernel["TCPSlowStartRetrans"])
        self.assertEqual(kinds["probe"], kernel["TCPLossProbes"])
        self.assertGreater(kinds["timeout"], 0)
        self.assertEqual({state for _, state in net.kinds(reports, self.client)}, {"ESTABLISHED"})
        peers = net.peers(reports, self.client)
        self.assertEqual({peer: peers[peer]["retransmitted"] for peer in peers if peers[peer]["retransmitted"]},
                         {("out", f"{self.wire.near_v4}:81"): sum(sending[:2]),
                          ("out", f"{self.wire.near_v4}:80"): sending[2]})
        self.check_nothing_again(reports, self.idle)

    def check_nothing_again(self, reports, container):
        self.assertEqual((net.counters(reports, container)["retransmitted"], net.kinds(reports, container)), (0, {}))

    @live.measured
    def test_of_a_handshake(self):
        """SYNs that nobody answers, IPv4 and IPv6; SYN-ACKs that do not arrive are the listener's."""
        listener = self.enter(self.server.listener(80))
        back = Hole(self.server, self.wire.device, self.wire.far_v4)
        silent6 = self.wire.near_v6[:-1] + "77"
        first, second = self.client.sockets(2)
        (third,) = self.client.sockets(family=socket.AF_INET6)

        def work():
            with Hole(self.client, self.wire.device, self.silent), Hole(self.client, self.wire.device, silent6):
                with back:
                    start_connect(first, self.wire.near_v4, 80)
                    start_connect(second, self.silent, 80, give_up=True)
                    start_connect(third, silent6, 80, give_up=True)
                    self.wait_retransmits(self.server, 1)
                live.until(lambda: self.server.counts()["CurrEstab"], "the SYN-ACK arrives")
                for each in (second, third):
                    wait_error(each)

        reports, (kinds, kernel), (synacks, of_server) = self.retransmits(work, self.client, self.server)
        self.assertEqual(set(kinds), {"SYN"})
        self.assertEqual(kinds["SYN"], kernel["TCPSynRetrans"])
        self.assertEqual(set(synacks), {"SYN-ACK"})
        self.assertEqual(synacks["SYN-ACK"], of_server["TCPSynRetrans"])
        self.assertIn(("in", f"{self.wire.far_v4} to :80"), net.peers(reports, self.server))
        del listener

    @live.measured
    def test_of_an_end(self):
        """A FIN that does not arrive, of a socket whose owner has closed it and is gone."""
        (one, other), = net.pair(self.client, self.server, self.wire.near_v4, 80)

        def work():
            with self.hole():
                one.close()
                self.wait_retransmits(self.client, 2)
            self.assertEqual(other.recv(1), b"")
            other.close()
            live.until(lambda: not self.server.counts()["CurrEstab"], "the session ends")

        reports, _ = self.retransmits(work, self.client)
        self.assertEqual({state for _, state in net.kinds(reports, self.client)}, {"FIN_WAIT1"})

    @live.measured
    def test_what_does_not_get_out(self):
        """The kernel counts segments that its own queue or route refuses as sent again, too; a program is told of them
        since 6.18 only."""
        (one, other), = net.pair(self.client, self.server, self.wire.near_v4, 80)
        (connecting,) = self.client.sockets()

        def work():
            net.send(one, other, SEGMENT)
            with self.hole(), Hole(self.client, self.wire.device, self.silent):
                one.sendall(bytes(SEGMENT))  # gets out, and lost
                # No packet fits.
                self.client.tc(f"qdisc add dev {self.wire.device} root tbf rate 8kbit burst 50 limit 50")
                start_connect(connecting, self.silent, 80, give_up=True)
                self.wait_retransmits(self.client, 4)
                wait_error(connecting)
            self.client.tc(f"qdisc del dev {self.wire.device} root")
            net.receive(other, SEGMENT)
            net.wait_acknowledged(one)
            one.close()
            other.close()
            live.until(lambda: not self.client.counts()["CurrEstab"], "the session ends")

        _, (_, kernel) = self.retransmits(work, self.client)
        self.assertGreater(kernel["TCPRetransFail"], 0)

    @live.on_any_kernel
    @live.measured
    def test_of_a_flood(self):
        """SYN-ACKs that nobody answers are sent again: by the listener."""
        self.server.sysctl("ipv4/tcp_synack_retries", 1)
        listener = self.enter(self.server.listener(80))
        with self.client.inside():
            raw = self.enter(net.raw_socket())
        self.server.ip(f"neigh replace {self.silent} lladdr 02:00:00:00:00:99 dev {self.wire.device}")

        def work():
            for i in range(200):
                raw.sendto(net.segment(self.silent, self.wire.near_v4, 1024 + i, 80, TCP_SYN, sequence=i),
                           (self.wire.near_v4, 0))
            self.wait_retransmits(self.server, 200)

        _, (kinds, _) = self.retransmits(work, self.server)
        self.assertEqual(kinds, {"SYN-ACK": 200})
        del listener


def each(number, first=3):
    """Loses each so-many-th segment with payload."""
    seen = 0

    def lose(packet):
        nonlocal seen
        if net.payload(packet):
            seen += 1
            return seen % number == first
        return False

    return lose


class Losses(Retrans):
    @live.measured
    def test_each_that_is_lost_is_sent_again(self):
        """Of segments in the middle of others, known to be lost by what arrives after them: as many as were lost."""
        server, client = self.enter(net.Container()), self.enter(net.Container())
        relay = self.enter(Relay(client, server, 0.01, each(20)))

        def work():
            (one, other), = net.pair(client, server, relay.far_v4, 80)
            for _ in range(15):
                net.send(one, other, 20_000)
            net.wait_acknowledged(one)

        reports, (kinds, kernel) = self.retransmits(work, client)
        print(f"    lost {relay.lost}", flush=True)
        self.assertEqual(kinds["fast"], kernel["TCPFastRetrans"])
        self.assertEqual(kinds["probe"], kernel["RetransSegs"] - kernel["TCPFastRetrans"] - kernel["TCPTimeouts"]
                         - kernel["TCPSlowStartRetrans"])
        self.assertGreater(kinds["fast"], 5)
        # What was sent again without need: the other side says so.
        needless = kinds.total() - relay.lost
        self.assertGreaterEqual(needless, 0)
        self.assertLessEqual(needless, server.counts()["TCPDSACKOldSent"] + server.counts()["TCPDSACKOfoSent"])
        sent = net.counters(reports, client)["sent"]
        self.assertEqual(sent, kernel["OutSegs"] + kernel["RetransSegs"])

    @live.measured
    def test_netem(self):
        """2 % of what a container sends are lost: sent again by it, and nothing by its sibling."""
        server, ((one, near), (other, far)) = self.containers(2)
        if not one.add_netem(near.device, "delay 20ms loss 2% limit 10000"):
            self.skipTest("the kernel has no netem")
        for container, wire in ((one, near), (other, far)):
            # A packet is one segment, for what counts packets.
            container.ip(f"link set {wire.device} gso_max_segs 1")
            net.without_offloads(container, wire.device)

        def work():
            for container, wire, port in ((one, near, 80), (other, far, 81)):
                (here, there), = net.pair(container, server, wire.near_v4, port)
                net.send(here, there, 1_500_000)
                net.wait_acknowledged(here)

        before = server.counts()
        reports, (kinds, kernel), (none, _) = self.retransmits(work, one, other)
        dropped = int(re.search(r"dropped (\d+)", one.tc(f"-s qdisc show dev {near.device}"))[1])
        needless = server.counts() - before
        needless = needless["TCPDSACKOldSent"] + needless["TCPDSACKOfoSent"]
        print(f"    dropped {dropped}, sent again {kinds.total()}, of that needless {needless}", flush=True)
        self.assertFalse(none)
        self.assertGreater(dropped, 5)
        # An ACK of the handshake that is lost is not sent again.
        self.assertLessEqual(kinds.total(), dropped + needless)
        self.assertGreaterEqual(kinds.total(), dropped - 2)
        self.assertEqual(net.counters(reports, other)["retransmitted"], 0)


if __name__ == "__main__":
    unittest.main()
