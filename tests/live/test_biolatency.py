#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace biolatency` against disks that are written to a known number of times, and the kernel's own counts."""

import contextlib
import itertools
import os
import pathlib
import signal
import subprocess
import time
import unittest

import block_live as block
import engines_live as engines
import kvm_live as kvm
import vtrace_live as live
from block_live import MIB, BlockCgroup, DirectIo, LoopDisk, NullDisk, figures, sums


class Biolatency(live.TestCase):
    """There are kernels (this project's own hosts among them) that run no program while their first process
    is on the CPU: the ledger says how many requests that were, and `measured` tries again."""

    unseen = 0

    def disturbed(self):
        return self.unseen > 0

    def traced(self, work, *arguments):
        """What `work` returns, and the reports on what was done meanwhile."""
        with live.Tracer("biolatency", "--cgroup", "--format", "json", *arguments, 0.5) as tracer:
            first = tracer.wait_report()
            result = work()
            tracer.stop()
            reports = tracer.reports(first)
        self.unseen = live.losses(reports, "unseen")
        return result, reports

    def check_clean(self, reports):
        for key in ("map_full", "clock_anomaly", "ring_dropped", "recursion_misses"):
            self.assertEqual(live.losses(reports, key), 0, key)


class Truth(Biolatency):
    def setUp(self):
        super().setUp()
        self.disk = self.enter(LoopDisk())

    @live.measured
    def test_counts_are_the_kernels(self):
        """Of two cgroups at once: what each did, exactly, and in all what /proc/diskstats has."""
        one, two = self.enter(BlockCgroup()), self.enter(BlockCgroup())
        a = self.enter(live.Child(DirectIo(self.disk, ("write", 4096, 500), ("read", 16384, 200),
                                           ("discard", MIB, 3), ("flush", 0, 7)), one))
        b = self.enter(live.Child(DirectIo(self.disk, ("write", 65536, 100)), two))
        for cgroup in (one, two):
            cgroup.account(self.disk)
        before = block.diskstats(self.disk)

        def work():
            b.tell()
            a.ask()
            b.hear()

        _, reports = self.traced(work)
        kernel = block.since(block.diskstats(self.disk), before)
        self.check_clean(reports)
        done = {"write sync": 500, "read": 200, "discard": 3}
        own = figures(reports, self.disk, one.path)
        # A flush is a write without data to who asks for it.
        self.assertEqual({name: own.get(name) for name in done}, {**done, "write sync": 507})
        self.assertEqual(figures(reports, self.disk, two.path), {"write sync": 100})
        self.assertEqual(figures(reports, self.disk, one.path, "bytes"),
                         {"write sync": 500 * 4096, "read": 200 * 16384, "discard": 3 * MIB})
        everyone, moved = figures(reports, self.disk), figures(reports, self.disk, key="bytes")
        self.assertEqual(everyone.get("flush", 0), kernel.flushes)
        self.assertGreaterEqual(kernel.flushes, 7)
        self.assertEqual(everyone["write sync"], kernel.writes)
        self.assertEqual(everyone["read"], kernel.reads)
        self.assertEqual(everyone["discard"], kernel.discards)
        self.assertEqual(moved["write sync"], kernel.write_bytes)
        self.assertEqual(moved["read"], kernel.read_bytes)
        for cgroup, read, written in ((one, 200 * 16384, 500 * 4096), (two, 0, 100 * 65536)):
            kernels = cgroup.bytes_of(self.disk)
            self.assertAlmostEqual(kernels[0], read, delta=0.02 * read)
            self.assertAlmostEqual(kernels[1], written, delta=0.02 * written)

    @live.measured
    def test_time_is_the_kernels(self):
        cgroup = self.enter(BlockCgroup())
        child = self.enter(live.Child(DirectIo(self.disk, ("write", MIB, 400)), cgroup))
        before = block.diskstats(self.disk)
        _, reports = self.traced(child.ask)
        kernel = block.since(block.diskstats(self.disk), before)
        total = sums(reports, self.disk)
        # The kernel shows milliseconds, and looks at the clock after it has let go of the pages.
        self.assertLessEqual(total / 1e6, kernel.ms + 1)
        self.assertGreaterEqual(total / 1e6, kernel.ms - 1 - 0.04 * kernel.writes)
        parts = sums(reports, self.disk, histogram="queue") + sums(reports, self.disk,
                                                                   histogram="device")
        self.assertAlmostEqual(parts, total, delta=0.02 * total)

    @live.measured
    def test_partial_windows_add_up(self):
        """Requests that are under way as a window ends are in one of the two, whole."""
        cgroup = self.enter(BlockCgroup())
        child = self.enter(live.Child(DirectIo(self.disk, ("write", 4096, 20_000)), cgroup))
        before = block.diskstats(self.disk)
        with live.Tracer("biolatency", "--cgroup", "--format", "json", 0.05) as tracer:
            first = tracer.wait_report()
            child.ask()
            tracer.stop()
            reports = tracer.reports(first)
        self.unseen = live.losses(reports, "unseen")
        kernel = block.since(block.diskstats(self.disk), before)
        self.assertGreater(len(reports), 2)
        # What is in no figure is in the ledger.
        seen = figures(reports, self.disk)["write sync"]
        self.assertEqual(seen + self.unseen, kernel.writes)
        self.assertEqual(seen, kernel.writes)
        self.assertEqual(kernel.writes, 20_000)

    @live.measured
    def test_one_disk(self):
        other = self.enter(LoopDisk())
        child = self.enter(live.Child(DirectIo(self.disk, ("write", 4096, 10))))
        busy = self.enter(live.Child(DirectIo(other, ("write", 4096, 10))))

        def work():
            child.ask()
            busy.ask()

        _, reports = self.traced(work, "--dev", self.disk.path)
        self.assertEqual(figures(reports, self.disk), {"write sync": 10})
        self.assertEqual(figures(reports, other), {})

    def test_subtree(self):
        inside = self.enter(BlockCgroup())
        outside = self.enter(BlockCgroup())
        child = self.enter(live.Child(DirectIo(self.disk, ("write", 4096, 10)), inside))
        other = self.enter(live.Child(DirectIo(self.disk, ("write", 4096, 10)), outside))

        def work():
            child.ask()
            other.ask()

        with live.Tracer("biolatency", f"--cgroup={inside.path}", "--format", "json", 0.5) as tracer:
            first = tracer.wait_report()
            work()
            tracer.stop()
            reports = tracer.reports(first)
        self.assertEqual(figures(reports, self.disk), {"write sync": 10})
        self.assertEqual({r["entity"]["cgroup"] for report in reports for r in report["rows"]},
                         {inside.path})

    @live.measured
    def test_pattern_and_sizes(self):
        cgroup = self.enter(BlockCgroup())
        child = self.enter(live.Child(DirectIo(self.disk, ("write", 4096, 300), ("read", 16384, 100)),
                                      cgroup))
        _, reports = self.traced(child.ask, "--pattern", "--size")
        # All but the first of each kind begin where the one before ended.
        self.assertEqual(figures(reports, self.disk, cgroup.path, "sequential"),
                         {"write sync": 299, "read": 99})
        self.assertEqual(figures(reports, self.disk, cgroup.path, "random"), {})
        self.assertEqual(figures(reports, self.disk, cgroup.path, "up_to_4096"), {"write sync": 300})
        self.assertEqual(figures(reports, self.disk, cgroup.path, "up_to_16384"), {"read": 100})


class Owners(Biolatency):
    WRITTEN = 8 * MIB

    def setUp(self):
        super().setUp()
        self.disk = self.enter(LoopDisk(128 * MIB))

    @contextlib.contextmanager
    def writeback_soon(self):
        """The kernel writes back what is older than 0.1 s, not 30 s."""
        directory = pathlib.Path("/proc/sys/vm")
        knobs = {name: (directory / name).read_text()
                 for name in ("dirty_writeback_centisecs", "dirty_expire_centisecs")}
        try:
            for name in knobs:
                (directory / name).write_text("10")
            yield
        finally:
            for name, value in knobs.items():
                (directory / name).write_text(value)

    @live.measured
    def test_buffered_and_direct(self):
        """On v2 writeback is of who dirtied the pages; on v1 nobody knows who that was."""
        mounted = self.enter(block.Mounted(self.disk))
        buffered, direct = self.enter(BlockCgroup()), self.enter(BlockCgroup())

        def write_some(child):
            child.hear()
            with open(f"{mounted.directory}/buffered", "wb") as file:
                file.write(bytes(self.WRITTEN))
            child.tell()
            child.hear()

        path = f"{mounted.directory}/direct"
        with open(path, "wb") as file:
            file.write(bytes(4 * MIB))
            os.fsync(file.fileno())
        own = type("File", (), {"path": path})
        for cgroup in (buffered, direct):
            cgroup.account(self.disk)
        writer = self.enter(live.Child(write_some, buffered))
        other = self.enter(live.Child(DirectIo(own, ("write", 65536, 64)), direct))
        subprocess.run(["sync"], check=True)
        before = {cgroup: cgroup.bytes_of(self.disk)[1] for cgroup in (buffered, direct)}
        written = block.diskstats(self.disk)

        def work():
            writer.ask()
            other.ask()
            live.until(lambda: block.since(block.diskstats(self.disk), written).write_bytes
                       >= self.WRITTEN + 4 * MIB, "all of it has been written back")
            time.sleep(0.3)

        with self.writeback_soon():
            _, reports = self.traced(work)
        self.check_clean(reports)
        kernel = block.since(block.diskstats(self.disk), written)
        self.assertEqual(sum(figures(reports, self.disk, key="bytes").values()), kernel.write_bytes)
        seen = figures(reports, self.disk, direct.path, "bytes")["write sync"]
        self.assertEqual(seen, 4 * MIB)
        charged = direct.bytes_of(self.disk)[1] - before[direct]
        self.assertAlmostEqual(seen, charged, delta=0.02 * charged)
        if buffered.v1:
            self.assertEqual(figures(reports, self.disk, buffered.path, "bytes"), {})
            seen = figures(reports, self.disk, "kernel: writeback", "bytes")["write async"]
            self.assertGreaterEqual(seen, self.WRITTEN)
            return
        seen = figures(reports, self.disk, buffered.path, "bytes")["write async"]
        charged = buffered.bytes_of(self.disk)[1] - before[buffered]
        self.assertGreaterEqual(charged, self.WRITTEN)
        self.assertAlmostEqual(seen, charged, delta=0.02 * charged)

    @live.measured
    def test_ancestor_without_the_controller(self):
        """On v2 the nearest cgroup upwards with the io controller is charged, and marked."""
        if live.hierarchy("blkio").v1:
            self.skipTest("on v1 the controller is on in all cgroups")
        parent = self.enter(BlockCgroup())
        child = self.enter(BlockCgroup(parent=parent, io=False))
        writer = self.enter(live.Child(DirectIo(self.disk, ("write", 4096, 50)), child))
        _, reports = self.traced(writer.ask)
        self.assertEqual(figures(reports, self.disk), {"write sync": 50})
        self.assertEqual(figures(reports, self.disk, parent.path), {"write sync": 50})
        rows = [live.row_of(report, parent.path) for report in reports]
        self.assertEqual({row["entity"]["labels"]["io"] for row in rows if row},
                         {"with descendants"})
        self.assertTrue(any("io controller" in note for r in reports for note in r["notes"]))


class Entities(Biolatency):
    """The same, of what people call by name."""

    def setUp(self):
        super().setUp()
        self.disk = self.enter(LoopDisk())

    def by(self, kind, work):
        """{name: {operation: count}} of the entities of a kind on the disk, while `work` was done."""
        with live.Tracer("biolatency", f"--{kind}", "--format", "json", 0.5) as tracer:
            first = tracer.wait_report()
            work()
            tracer.stop()
            reports = tracer.reports(first)
        self.unseen = live.losses(reports, "unseen")
        names = {row["entity"]["name"] for report in reports for row in report["rows"]
                 if row["entity"]["kind"] == kind}
        rows = {name: [{"rows": [row for row in report["rows"] if row["entity"]["name"] == name]}
                       for report in reports] for name in names}
        return {name: figures(rows[name], self.disk) for name in names}

    @live.measured
    def test_containers(self):
        """Two containers that write at once: each what it did, and within 2 % of its own counters."""
        docker = self.enter(engines.Docker())
        device = f"--device={self.disk.path}"
        account = f"--device-write-bps={self.disk.path}:{1 << 40}"
        ids = {name: docker.run(name, device, account)[0] for name in ("db", "backup")}
        done = {"db": ("4k", 300), "backup": ("64k", 200)}

        def work():
            running = [subprocess.Popen(
                ["docker", "-H", f"unix://{docker.socket}", "exec", ids[name], "/bin/busybox", "dd",
                 "if=/dev/zero", f"of={self.disk.path}", f"bs={size}", f"count={count}",
                 "oflag=direct"], stderr=subprocess.DEVNULL)
                for name, (size, count) in done.items()]
            self.assertEqual([process.wait(live.PATIENCE) for process in running], [0, 0])

        found = self.by("container", work)
        self.assertEqual(found, {"db": {"write sync": 300}, "backup": {"write sync": 200}})
        root = live.hierarchy("blkio")
        for name, (size, count) in done.items():
            cgroup = BlockCgroup.__new__(BlockCgroup)
            cgroup.v1, cgroup.directory = root.v1, os.fsencode(f"{root.mount}/docker/{ids[name]}")
            written = int(size.removesuffix("k")) * 1024 * count
            self.assertAlmostEqual(cgroup.bytes_of(self.disk)[1], written, delta=0.02 * written)

    @live.measured
    def test_a_vm(self):
        """A VM that is alone in its cgroup: what QEMU reads for its guest is the VM's."""
        kvm.need_kvm()
        cgroup = self.enter(BlockCgroup())
        before = []

        def work():
            before.append(block.diskstats(self.disk))
            self.enter(kvm.QemuGuest("web-1", cgroup=cgroup, disk=self.disk.path))

        found = self.by("vm", work)
        kernel = block.since(block.diskstats(self.disk), before[0])
        self.assertGreater(kernel.reads, 0)
        self.assertEqual(found["web-1"]["read"], kernel.reads)


class Delay(Biolatency):
    """A disk that takes a set time for each request."""

    DELAY_NS = 2_000_000

    def setUp(self):
        super().setUp()
        self.disk = block.null_disk(self, irqmode=2, completion_nsec=self.DELAY_NS)

    @live.measured
    def test_device_time(self):
        """The delay is in the device's time, but for what a timer of the kernel is late."""
        child = self.enter(live.Child(DirectIo(self.disk, ("read", 4096, 300))))
        before = block.diskstats(self.disk)
        _, reports = self.traced(child.ask)
        kernel = block.since(block.diskstats(self.disk), before)
        self.assertEqual(figures(reports, self.disk), {"read": 300})
        self.assertAlmostEqual(sums(reports, self.disk) / 1e6, kernel.ms, delta=0.05 * kernel.ms)
        base = kernel.ms * 1e6 / 300 - self.DELAY_NS  # on average, what comes on top
        self.assertGreaterEqual(base, 0)
        operation = [o for r in reports for row in r["rows"] for o in row["operations"]
                     if o["entity"]["labels"]["disk"] == self.disk.name]
        count = sum(o["metrics"]["device"]["count"] for o in operation)
        p50 = sum(o["metrics"]["device"]["p50"] * o["metrics"]["device"]["count"]
                  for o in operation) / count
        bound = operation[0]["metrics"]["device"]["error_bound"]
        self.assertGreaterEqual(p50, self.DELAY_NS * (1 - bound))
        self.assertLessEqual(p50, (self.DELAY_NS + 2 * base) * (1 + bound))

    def test_nothing_is_lost_at_full_speed(self):
        """As many requests as the disk and its CPUs can do."""
        children = [self.enter(live.Child(DirectIo(self.disk, ("read", 4096, 400)), cpu=cpu))
                    for cpu in sorted(os.sched_getaffinity(0)) for _ in range(8)]
        before = block.diskstats(self.disk)

        def work():
            for child in children:
                child.tell()
            for child in children:
                child.hear()

        _, reports = self.traced(work)
        kernel = block.since(block.diskstats(self.disk), before)
        self.check_clean(reports)
        self.assertEqual(figures(reports, self.disk), {"read": kernel.reads})
        self.assertEqual(kernel.reads + kernel.merged, 400 * len(children))


class FullSpeed(Biolatency):
    """A disk that is never waited for: null_blk's, or a loop device over memory."""

    def setUp(self):
        super().setUp()
        self.disk = self.enter(block.fast_disk())

    def test_each_read_of_fio_is_counted(self):
        """In a figure or, if no program was shown it, in the ledger: as the kernel and fio count them."""
        before = block.diskstats(self.disk)

        def work():
            reads = block.fio(self.disk, seconds=3)
            block.wait_at_rest(self.disk)
            return reads

        reads, reports = self.traced(work, "--dev", self.disk.path)
        kernel = block.since(block.diskstats(self.disk), before)
        self.assertEqual(kernel.reads + kernel.merged, reads)
        self.assertEqual(figures(reports, self.disk)["read"] + self.unseen, kernel.reads)
        for key in ("map_full", "clock_anomaly"):
            self.assertEqual(live.losses(reports, key), 0, key)
        # A program that was interrupted by its own event: such a request is unseen, too.
        self.assertLessEqual(live.losses(reports, "recursion_misses"), self.unseen)


class BadDays(Biolatency):
    def setUp(self):
        super().setUp()
        self.below = self.enter(LoopDisk(128 * MIB))
        self.mounted = self.enter(block.Mounted(self.below))
        self.disk = self.enter(LoopDisk(16 * MIB, self.mounted.directory))

    def test_a_disk_that_hangs(self):
        """A request that does not complete is listed, whose it is, with its age and where it is."""
        cgroup = self.enter(BlockCgroup())
        child = self.enter(live.Child(DirectIo(self.disk, ("write", 8192, 1)), cgroup))
        with live.Tracer("biolatency", "--cgroup", "--slower", 300, "--format", "json",
                         0.5) as tracer:
            tracer.wait_report()
            with block.frozen(self.mounted):
                child.tell()

                def listed():
                    found = [r for d in tracer.reports() for r in d.get("requests", [])
                             if r["disk"] == self.disk.name and r["age_ns"] > 700_000_000]
                    return found[-1] if found else None

                request = live.until(listed, "the request is listed")
            child.hear()
            tracer.stop()
            events = [e for e in tracer.events() if e["disk"] == self.disk.name]
            reports = tracer.reports()
        self.assertEqual(request["entity"]["cgroup"], cgroup.path)
        self.assertEqual(request["operation"], "write sync")
        self.assertEqual(request["stage"], "device")
        self.assertEqual(request["bytes"], 8192)
        self.assertGreaterEqual(request["age_ns"], request["device_ns"])
        # Then it completed: one figure, one event.
        self.assertEqual(figures(reports, self.disk, cgroup.path), {"write sync": 1})
        self.assertEqual([(e["event"], e["entity"]["cgroup"], e["bytes"]) for e in events],
                         [("slow_request", cgroup.path, 8192)])
        self.assertGreaterEqual(events[0]["total_ns"], request["age_ns"])
        self.assertEqual(events[0]["queue_ns"] + events[0]["device_ns"], events[0]["total_ns"])

    @live.measured
    def test_a_disk_that_goes(self):
        """What was done on a disk that is not there any more is reported under its name."""
        child = self.enter(live.Child(DirectIo(self.disk, ("write", 4096, 25))))

        def work():
            child.ask()
            child.stop()
            block.ran("losetup", "-d", self.disk.path)

        _, reports = self.traced(work)
        self.assertEqual(figures(reports, self.disk), {"write sync": 25})


class Room(Biolatency):
    def setUp(self):
        super().setUp()
        self.disk = self.enter(LoopDisk())

    def test_more_than_there_is_room_for(self):
        """What finds no room is counted, in `other` and in the ledger, each request once (also where a hook on its issue
        sees it, too); later there is room."""
        groups = [self.enter(BlockCgroup()) for _ in range(150)]

        def burst(child):
            fd = os.open(self.disk.path, os.O_RDWR | os.O_DIRECT)
            while True:
                child.hear()
                for group in groups:
                    group.add()
                    DirectIo.do(fd, "write", 4096, 2)
                child.tell()

        child = self.enter(live.Child(burst))
        with live.Tracer("biolatency", "--cgroup", "--pattern", "--format", "json", 0.5) as tracer:
            first = tracer.wait_report()
            os.kill(tracer.pid, signal.SIGSTOP)
            child.ask()
            os.kill(tracer.pid, signal.SIGCONT)
            tracer.wait_report(first + 2)
            middle = len(tracer.lines)
            child.ask()
            tracer.wait_report(middle + 2)
            tracer.stop()
            before, after = tracer.reports(first)[:middle - first], tracer.reports(middle)
        paths = {group.path for group in groups}

        def counted(reports):
            known, other = 0, 0
            for report in reports:
                for row in report["rows"]:
                    if row["entity"]["cgroup"] in paths:
                        known += row["metrics"]["count"]["value"]
                    elif row["entity"]["kind"] == "other":
                        other += row["metrics"]["count"]["value"]
            return known, other

        known, other = counted(before)
        # Others may find no room, too.
        self.assertGreaterEqual(known + other, 300)
        self.assertLess(known, 300)
        self.assertEqual(live.losses(before, "map_full"), other)
        self.assertEqual(counted(after), (300, 0))
        self.assertEqual(live.losses(after, "map_full"), 0)


class ManyKeys(Biolatency):
    """Keys (cgroup, disk, operation) by the thousand: on a hundred disks, in cgroups that use them all."""

    DISKS = 100
    NAMES = {"read": "read", "write": "write sync"}

    def setUp(self):
        super().setUp()
        self.disks = [self.enter(block.fast_disk(MIB)) for _ in range(self.DISKS)]

    def start(self, cgroups):
        """A child that at each ask() does requests of each key, and {key: how many these are}."""
        keys = itertools.product(cgroups, self.disks, self.NAMES)
        counts = {key: 1 + number % 2 for number, key in enumerate(keys)}

        def work(child):
            fds = {disk: os.open(disk.path, os.O_RDWR | os.O_DIRECT) for disk in self.disks}
            while True:
                child.hear()
                charged = None
                for (cgroup, disk, kind), count in counts.items():
                    if cgroup is not charged:
                        cgroup.add()
                        charged = cgroup
                    DirectIo.do(fds[disk], kind, 4096, count)
                child.tell()

        return self.enter(live.Child(work)), {(cgroup.path, disk.name, self.NAMES[kind]): count
                                              for (cgroup, disk, kind), count in counts.items()}

    def ios(self):
        """(of these disks, of all others) by the kernel."""
        counts = {name: c.reads + c.writes + c.discards + c.flushes
                  for name, c in block.all_diskstats().items()}
        own = sum(counts[disk.name] for disk in self.disks)
        return own, sum(counts.values()) - own

    def round(self, tracer, child, counts):
        """What is counted of each key, and in `other`, of requests in one window: with the ledger's, all."""
        before = self.ios()
        first = tracer.wait_report(len(tracer.lines) + 1)
        os.kill(tracer.pid, signal.SIGSTOP)
        child.ask()
        os.kill(tracer.pid, signal.SIGCONT)
        last = tracer.wait_report(len(tracer.lines) + 2)  # the next one may be under way
        reports = tracer.reports(first)[:last - first]
        own, of_others = (now - then for now, then in zip(self.ios(), before, strict=True))
        found, unseen = block.by_key(reports), live.losses(reports, "unseen")
        self.unseen += unseen
        known = {key: found[key] for key in counts if key in found}
        other = found["other", "any", "any"]
        self.assertEqual(own, sum(counts.values()))
        # Exact if nobody else does anything: others may find no room, too.
        for more in (sum(known.values()) + other + unseen - own, live.losses(reports, "map_full") - other):
            self.assertGreaterEqual(more, 0)
            self.assertLessEqual(more, of_others)
        return known, other

    def rounds(self, cgroups, enough):
        """The last of as many rounds as it takes: after each there is more room. And {key: how many}."""
        child, counts = self.start([self.enter(BlockCgroup()) for _ in range(cgroups)])
        self.unseen, before = 0, 0
        with live.Tracer("biolatency", "--cgroup", "--format", "json", 0.5) as tracer:
            for _ in range(6):
                known, other = self.round(tracer, child, counts)
                if enough(len(known) - before, other):
                    break
                before = len(known)
            tracer.stop()
        return known, other, counts

    @live.measured
    def test_five_thousand(self):
        """Some find no room at first. Then all have, and what they did."""
        known, other, counts = self.rounds(25, lambda _, other: other == 0)
        self.assertEqual(len(counts), 5000)
        self.assertEqual((known, other), (counts, 0))

    @unittest.skipIf(live.EMULATED, "takes minutes where all is emulated, and asks nothing of the kernel")
    @live.measured
    def test_more_than_there_can_be(self):
        """Who has room has what it did, whatever comes of the others: that is counted, too."""
        known, other, counts = self.rounds(85, lambda more, _: more == 0)
        self.assertEqual(known, {key: counts[key] for key in known})
        without = sum(count for key, count in counts.items() if key not in known)
        self.assertGreater(without, 0)
        self.assertGreaterEqual(other, without)


if __name__ == "__main__":
    unittest.main()
