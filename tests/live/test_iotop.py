#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace iotop` against writers that time themselves."""

import mmap
import os
import random
import time
import unittest

import block_live as block
import vtrace_live as live
from block_live import MIB, BlockCgroup, LoopDisk

# What a share of some hundred samples may be off; emulated, there are a dozen.
OF_SAMPLES = 0.3 if live.EMULATED else 0.1


def write(file, text):
    with open(file, "w", encoding="ascii") as opened:
        opened.write(text)


class OneDisk(live.TestCase):
    disk = None
    unseen = 0  # requests that the kernel showed to no program

    def disturbed(self):
        return self.unseen > 0

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


class Iotop(OneDisk):
    def setUp(self):
        super().setUp()
        self.disk = self.enter(LoopDisk())

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
            # Who takes a sample takes a CPU from one of them: its requests are there for longer then.
            self.assertAlmostEqual(share, busy, delta=max(2 * OF_SAMPLES, 0.3))

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


class HeldBack(OneDisk):
    """What else than a limit lets I/O wait before it is a request."""

    SECONDS = 4.0  # of a report; who writes goes on for longer

    def put(self, knob, text, *undo):
        """Sets a knob of the kernel for as long as the test runs; `undo`: which knob to set then, to what."""
        self.addCleanup(write, *undo)
        write(knob, text)

    def with_wbt(self):
        """A disk with writeback throttling, which lets a part of its depth be written."""
        self.disk = block.null_disk(self, irqmode=2, completion_nsec=20_000_000, hw_queue_depth=8)
        knob = f"/sys/block/{self.disk.name}/queue/wbt_lat_usec"
        if not os.path.exists(knob):
            self.skipTest("there is no wbt_lat_usec")
        self.put(knob, "2000", knob, "-1")

    def held_in(self, function, writer, other):
        """A report over what both do, and for what part of it the first slept there by the kernel's own word."""
        sleeps = []

        def look():
            with open(f"/proc/{writer.pid}/stat", "rb") as stat, \
                    open(f"/proc/{writer.pid}/stack", "rb") as stack:
                there = function.encode() in stack.read()
                sleeps.append(there and stat.read().rpartition(b")")[2].split()[0] == b"D")

        def work():
            writer.tell()
            other.tell()
            end = time.monotonic() + self.SECONDS
            while time.monotonic() < end:
                look()
                time.sleep(random.uniform(0.005, 0.04))  # not in step with what it looks at
            other.hear()
            writer.hear()

        return self.traced(work, self.SECONDS), sum(sleeps) / len(sleeps)

    def held(self, report, cgroup):
        row = self.row(report, cgroup)
        return tuple(self.value(row, name) for name in ("held", "held_by_cost", "held_by_wbt"))

    @live.measured
    def test_iocost(self):
        """Who wants more than its share of a disk waits for it; who wants less, not."""
        root = os.fsdecode(live.hierarchy("blkio").mount)
        qos, model = f"{root}/io.cost.qos", f"{root}/io.cost.model"
        if not os.path.exists(qos):
            self.skipTest("there is no io.cost.qos")
        self.disk = block.null_disk(self, irqmode=2, completion_nsec=2_000_000)
        number = self.disk.number
        # 50 writes of a page a second in all.
        costs = " ".join(f"{kind}bps={1 << 30} {kind}seqiops=50 {kind}randiops=50" for kind in "rw")
        self.put(model, f"{number} ctrl=user model=linear {costs}", model, f"{number} ctrl=auto")
        self.put(qos, f"{number} enable=1 ctrl=user min=100 max=100", qos, f"{number} enable=0")
        greedy, modest = self.enter(BlockCgroup()), self.enter(BlockCgroup())
        modest.weigh_io(1000)
        writer = self.enter(live.Child(block.writes_for(self.disk, self.SECONDS + 1), greedy))
        other = self.enter(live.Child(block.writes_for(self.disk, self.SECONDS + 1, pause=0.2), modest))
        report, share = self.held_in("ioc_rqos_throttle", writer, other)
        self.assertGreater(share, 0.4)
        held, by_cost, by_wbt = self.held(report, greedy)
        self.assertEqual((held, by_wbt), (0, 0))
        self.assertAlmostEqual(by_cost, share, delta=OF_SAMPLES)
        held, by_cost, by_wbt = self.held(report, modest)
        self.assertEqual((held, by_wbt), (0, 0))
        self.assertLess(by_cost, OF_SAMPLES)

    @live.measured
    def test_writeback_throttling(self):
        """Who has its pages written waits for room on the disk; who writes past the page cache, not."""
        self.with_wbt()
        synced, direct = self.enter(BlockCgroup()), self.enter(BlockCgroup())
        writer = self.enter(live.Child(block.buffered_writes_for(self.disk, self.SECONDS + 1), synced))
        other = self.enter(live.Child(block.writes_for(self.disk, self.SECONDS + 1), direct))
        report, share = self.held_in("rq_qos_wait", writer, other)
        self.assertGreater(share, 0.4)
        held, by_cost, by_wbt = self.held(report, synced)
        self.assertEqual((held, by_cost), (0, 0))
        self.assertAlmostEqual(by_wbt, share, delta=OF_SAMPLES)
        self.assertEqual(self.held(report, direct), (0, 0, 0))

    @live.measured
    def test_whose_pages_are_written_back(self):
        """The kernel writes back, and waits, for the cgroup whose pages they are: the one with the requests."""
        self.with_wbt()
        with open("/proc/sys/vm/dirty_background_ratio", encoding="ascii") as file:
            ratio = file.read()
        self.put("/proc/sys/vm/dirty_background_bytes", "400000",
                 "/proc/sys/vm/dirty_background_ratio", ratio)
        cgroup = self.enter(BlockCgroup())
        writes = block.buffered_writes_for(self.disk, self.SECONDS + 1, then=lambda _: time.sleep(0.1))
        writer = self.enter(live.Child(writes, cgroup))
        report = self.traced(writer.ask, self.SECONDS)
        rows = [row for row in report["rows"] if row["entity"]["labels"]["disk"] == self.disk.name]
        self.assertEqual([row["entity"]["cgroup"] for row in rows], [cgroup.path], rows)
        held, by_cost, by_wbt = self.held(report, cgroup)
        self.assertEqual((held, by_cost), (0, 0))
        self.assertGreater(by_wbt, 0.4)


if __name__ == "__main__":
    unittest.main()
