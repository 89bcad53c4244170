#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace iotop` against writers that time themselves."""

import mmap
import os
import time
import unittest

import block_live as block
import vtrace_live as live
from block_live import MIB, BlockCgroup, LoopDisk

# What a share of some hundred samples may be off; emulated, there are a dozen.
OF_SAMPLES = 0.3 if live.EMULATED else 0.1


class Iotop(live.TestCase):
    unseen = 0  # requests that the kernel showed to no program

    def disturbed(self):
        return self.unseen > 0

    def setUp(self):
        super().setUp()
        self.disk = self.enter(LoopDisk())

    def traced(self, work, seconds):
        """One report over what `work` does in about that time."""
        with live.Tracer("iotop", "--format", "json", seconds) as tracer:
            tracer.wait_report()
            work()
            tracer.wait_report(2)
            tracer.stop()
            self.unseen = live.losses(tracer.reports(), "unseen")
            return tracer.reports()[1]

    def row(self, report, cgroup):
        rows = [row for row in report["rows"] if row["entity"]["cgroup"] == cgroup.path
                and row["entity"]["labels"]["disk"] == self.disk.name]
        self.assertEqual(len(rows), 1, report["rows"])
        return rows[0]

    @staticmethod
    def value(row, name):
        return row["metrics"][name]["value"]

    @live.measured
    def test_use(self):
        """Figures against the kernel's."""
        one, two = self.enter(BlockCgroup()), self.enter(BlockCgroup())
        big = self.enter(live.Child(block.writes_for(self.disk, 2.0, 256 * 1024), one))
        small = self.enter(live.Child(block.writes_for(self.disk, 2.0), two))

        def work():
            big.tell()
            small.ask()
            big.hear()

        before = block.diskstats(self.disk)
        report = self.traced(work, 2.5)
        kernel = block.since(block.diskstats(self.disk), before)
        rows = [self.row(report, one), self.row(report, two)]
        # What is in no figure is in the ledger.
        self.assertEqual(sum(self.value(row, "count") for row in rows) + self.unseen, kernel.writes)
        if not self.unseen:
            self.assertEqual(sum(self.value(row, "write_bytes") for row in rows),
                             kernel.write_bytes)
        self.assertAlmostEqual(sum(self.value(row, "device_share") for row in rows), 1, delta=0.02)
        # The kernel sums the times of requests, too.
        depth = kernel.ms * 1e6 / report["duration_ns"]
        self.assertAlmostEqual(sum(self.value(row, "depth") for row in rows), depth,
                               delta=0.02 + 0.1 * depth)

    @live.measured
    def test_beside_whom(self):
        """Who is alone is beside nobody; who is not, beside the other, for as long as that is there."""
        one, two = self.enter(BlockCgroup()), self.enter(BlockCgroup())
        alone = self.enter(live.Child(block.writes_for(self.disk, 1.5, 64 * 1024), one))
        report = self.traced(alone.ask, 2.0)
        row = self.row(report, one)
        self.assertEqual((self.value(row, "beside"), row["others"]), (0, []))

        # Both always have a request on the disk, but for the moments between two.
        other = self.enter(live.Child(block.writes_for(self.disk, 1.5, 64 * 1024), two))

        def work():
            alone.tell()
            other.ask()
            alone.hear()

        report = self.traced(work, 2.0)
        for victim, culprit in ((one, two), (two, one)):
            row = self.row(report, victim)
            self.assertEqual([o["entity"]["cgroup"] for o in row["others"]], [culprit.path])
            share = self.value(row["others"][0], "beside")
            self.assertEqual(share, self.value(row, "beside"))
            busy = self.row(report, culprit)["metrics"]["total"]["sum"] / 1.5e9
            self.assertAlmostEqual(share, busy, delta=2 * OF_SAMPLES)

    @live.measured
    def test_own_limit(self):
        """A writer that its limit holds back: for as long as it waited, and by which limit; nobody else is."""
        limited, free = self.enter(BlockCgroup()), self.enter(BlockCgroup())
        limited.limit_writes(self.disk, MIB)

        def slow(child):
            fd = os.open(self.disk.path, os.O_RDWR | os.O_DIRECT)
            with mmap.mmap(-1, 64 * 1024) as buffer:
                child.hear()
                begin = time.monotonic()
                for i in range(32):
                    os.pwrite(fd, buffer, i * 64 * 1024)
                with open(result, "w", encoding="ascii") as file:
                    file.write(str(time.monotonic() - begin))
                child.tell()
                child.hear()

        result = f"/tmp/vtrace-test-{os.getpid()}-waited"
        self.addCleanup(os.unlink, result)
        writer = self.enter(live.Child(slow, limited))
        other = self.enter(live.Child(block.writes_for(self.disk, 0.5), free))

        def work():
            writer.tell()
            other.ask()
            writer.hear()

        report = self.traced(work, 4.0)
        with open(result, encoding="ascii") as file:
            waited = float(file.read())
        row = self.row(report, limited)
        self.assertGreater(waited, 1.0)
        share = waited * 1e9 / report["duration_ns"]
        self.assertAlmostEqual(self.value(row, "held"), share, delta=OF_SAMPLES)
        self.assertEqual(self.value(row, "limit_write_bytes"), MIB)
        self.assertEqual(self.value(self.row(report, free), "held"), 0)
        # None of it is in the requests.
        self.assertLess(row["metrics"]["total"]["sum"] / 1e9, 0.1 * waited)


if __name__ == "__main__":
    unittest.main()
