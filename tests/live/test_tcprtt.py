#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace tcprtt` against wires of known delay, and against what the kernel says of each socket."""

import socket
import unittest

import net_live as net
import vtrace_live as live
from net_live import ERROR_BOUND, Relay

ROUNDS = 60


def ping(one, other, rounds=ROUNDS):
    """So many requests and answers; each makes a segment that the other one receives."""
    for _ in range(rounds):
        one.sendall(b"?")
        net.receive(other, 1)
        other.sendall(b"!")
        net.receive(one, 1)


class Rtt(net.TcpTestCase):
    TOOL = "tcprtt"

    def check_rtt(self, found, truth_ns, what):
        print(f"    {what}: median {found.median / 1e6:.3f} ms, the kernel at the end {truth_ns / 1e6:.3f} ms",
              flush=True)
        self.assertAlmostEqual(found.median, truth_ns, delta=2 * ERROR_BOUND * truth_ns + 1e6)

    def pinged(self, *pairs):
        def work():
            for one, other in pairs:
                ping(one, other)

        return self.traced(work)

    @live.measured
    def test_one_for_each_segment_received(self):
        """Of connections that were there before, and of new ones, by peer; IPv4, IPv6 and mapped addresses."""
        server, ((one, near), (idle, _)) = self.containers(2)
        places = ((near.near_v4, socket.AF_INET), (near.near_v6, socket.AF_INET6),
                  (f"::ffff:{near.near_v4}", socket.AF_INET6))
        old = [net.pair(one, server, address, 80, family)[0] for address, family in places]
        received = []

        def work():
            new = [net.pair(one, server, address, 80, family)[0] for address, family in places]
            before = [[net.tcp_info(end).segments_in for end in ends] for ends in zip(*old, *new)]
            for here, there in (*old, *new):
                ping(here, there)
                net.wait_acknowledged(here, there)
            for ends, was in zip(zip(*old, *new), before):
                received.append(sum(net.tcp_info(end).segments_in for end in ends) - sum(was))
            self.kept = new

        reports = self.traced(work)
        for container, segments, name in ((one, received[0], f"{near.near_v4}:80"),
                                          (server, received[1], f"{near.far_v4} to :80")):
            rtt = net.histogram(reports, container, "rtt")
            # On a server, the last segment of a handshake counts as one more or not: it is not established yet.
            self.assertAlmostEqual(rtt.count, segments, delta=len(old), msg=container.path)
            by_peer = net.peers(reports, container)
            self.assertEqual(len(by_peer), 2, by_peer)
            (v4,) = [n["rtt"] for (_, peer), n in by_peer.items() if peer == name]
            self.assertAlmostEqual(v4 / rtt.count, 2 / 3, delta=0.02)
        self.check_nothing(reports, idle)

    @live.on_any_kernel
    @live.measured
    def test_of_a_slow_wire(self):
        """10 ms there and back, each; of its sibling not."""
        server, client, sibling = (self.enter(net.Container()) for _ in range(3))
        relay = self.enter(Relay(client, server, 0.01))
        fast = net.wire(server, sibling)
        (slow,) = net.pair(client, server, relay.far_v4, 80)
        (quick,) = net.pair(sibling, server, fast.near_v4, 81)
        reports = self.pinged(slow, quick)
        truth = 1000 * net.tcp_info(slow[0]).rtt
        self.assertGreater(truth, 20e6)
        self.check_rtt(net.histogram(reports, client, "rtt"), truth, "10 ms each way")
        self.assertLess(net.histogram(reports, sibling, "rtt").max, 20e6)
        slow_peer, quick_peer = (peer for _, peer in sorted(net.peers(reports, server)))
        self.assertEqual((slow_peer, quick_peer), (f"{relay.near_v4} to :80", f"{fast.far_v4} to :81"))

    @live.measured
    def test_netem(self):
        """20 ms by the kernel's own emulator of networks: as many, and what there was without it."""
        server, ((one, near), (other, far)) = self.containers(2)
        (slow,) = net.pair(one, server, near.near_v4, 80)
        (quick,) = net.pair(other, server, far.near_v4, 81)
        ping(*slow)
        base = 1000 * net.tcp_info(slow[0]).rtt
        if not one.add_netem(near.device, "delay 20ms"):
            self.skipTest("the kernel has no netem")
        ping(*slow)  # until the mean has forgotten what was
        reports = self.pinged(slow, quick)
        rtt = net.histogram(reports, one, "rtt")
        print(f"    median {rtt.median / 1e6:.2f} ms, without delay {base / 1e6:.2f} ms", flush=True)
        self.assertGreaterEqual(rtt.median, 20e6 * (1 - ERROR_BOUND))
        self.assertLessEqual(rtt.median, (20e6 + base) * (1 + ERROR_BOUND) + 5e6)
        self.assertLess(net.histogram(reports, other, "rtt").median, 20e6)

    @live.on_any_kernel
    @live.measured
    def test_of_a_full_queue(self):
        """What stands in a token bucket shows in the round trips of who sends through it."""
        server, ((one, near), (other, far)) = self.containers(2)
        (full,) = net.pair(one, server, near.near_v4, 80)
        (free,) = net.pair(other, server, far.near_v4, 81)
        one.tc(f"qdisc add dev {near.device} root tbf rate 2mbit burst 3000 limit 100000")
        with one.inside():
            filler = self.enter(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        truths = []

        def work():
            for _ in range(12):
                for _ in range(8):  # 8,000 bytes at 250,000 a second: 32 ms, less the burst
                    filler.sendto(bytes(1000), (near.near_v4, 9))
                ping(*full, rounds=1)
                truths.append(1000 * net.tcp_info(full[0]).rtt)
            ping(*free)

        reports = self.traced(work)
        rtt = net.histogram(reports, one, "rtt")
        # It is told of before the segment that is received changes it: what the last one made of it is not.
        print(f"    highest {rtt.max / 1e6:.3f} ms, the kernel {max(truths) / 1e6:.3f} ms", flush=True)
        self.assertGreater(max(truths), 8e6)
        self.assertGreaterEqual(rtt.max, max(truths[:-1]))
        self.assertLessEqual(rtt.max, 1.1 * max(truths))
        self.assertLess(net.histogram(reports, other, "rtt").median, 5e6)


if __name__ == "__main__":
    unittest.main()
