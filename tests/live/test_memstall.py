#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace memstall` against the kernel's own counts of cgroups that run into their limits, and of faults."""

import contextlib
import functools
import json
import mmap
import os
import pathlib
import random
import re
import resource
import tempfile
import time
import unittest

import block_live as block
import vtrace_live as live
from block_live import MIB, LoopDisk, Mounted

PAGE = mmap.PAGESIZE
PROGRAMS_NS = 100_000 if live.EMULATED else 5_000  # of a stall, in the kernel's account of it
ERROR_BOUND = 0.0625  # of a quantile


class MemoryCgroup(live.Cgroup):
    """In the hierarchy of the memory controller; on hybrid hosts with its like in v2's, which has PSI."""

    controller = "memory"

    def __init__(self, limit=None):
        super().__init__()
        self._pressure = pathlib.Path(os.fsdecode(self.directory))
        if self.v1:
            self._pressure = self._like_in_v2()
        else:
            self._write(b"../cgroup.subtree_control", "+memory")
        if limit is not None:
            self._write(b"memory.limit_in_bytes" if self.v1 else b"memory.max", limit)

    def _like_in_v2(self):
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            if " - cgroup2 " in line:
                directory = pathlib.Path(line.split(" ")[4] + self.path)
                directory.mkdir()
                return directory
        return None

    def add(self, pid=0):
        super().add(pid)
        if self.v1 and self._pressure:
            (self._pressure / "cgroup.procs").write_text(str(pid))

    def remove(self):
        super().remove()
        if self.v1 and self._pressure:
            self.remove_directory(os.fsencode(self._pressure))

    def slow_down_above(self, size):
        self._write(b"memory.high", size)

    def read(self, name):
        return (pathlib.Path(os.fsdecode(self.directory)) / name).read_text()

    def number(self, name, key):
        found = re.search(rf"(?m)^{key} (\d+)$", self.read(name))
        return int(found[1]) if found else None

    def stalled_ns(self):
        """PSI: some task waited for memory. None where the kernel does not tell."""
        with contextlib.suppress(OSError, TypeError):
            return 1000 * int(re.search(r"some .*total=(\d+)", (self._pressure / "memory.pressure").read_text())[1])
        return None

    def limit_hits(self):
        return int(self.read("memory.failcnt")) if self.v1 else self.number("memory.events", "max")


def vmstat(prefix):
    """The sum of the host's counts that begin so."""
    text = pathlib.Path("/proc/vmstat").read_text()
    return sum(int(n) for n in re.findall(rf"(?m)^{prefix}\w* (\d+)$", text))


def disk_to_wait_for():
    """Where there is null_blk: newer kernels (6.19 and later) do the I/O of a loop device at once."""
    if block.NullDisk.possible():
        return block.NullDisk(size=128 * MIB, memory_backed=1, irqmode=2, completion_nsec=200_000)
    return LoopDisk(128 * MIB)


def make_file(directory, size):
    """Its pages are not in memory."""
    path = os.path.join(directory, "file")
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path


def reads_a_file(path):
    """Work for a Child: at each ask() it reads all of a file."""

    def work(child):
        while True:
            child.hear()
            with open(path, "rb", buffering=0) as file:
                while file.read(MIB):
                    pass
            child.tell()

    return work


def reads_any_pages(path, count):
    """Work for a Child: at each ask() it reads so many single pages of a file."""

    def work(child):
        fd = os.open(path, os.O_RDONLY)
        size = os.fstat(fd).st_size
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        while True:
            child.hear()
            for _ in range(count):
                os.pread(fd, PAGE, random.randrange(size // PAGE) * PAGE)
            child.tell()

    return work


def fills(size):
    """Work for a Child: at each ask() it writes to all pages of new memory."""

    def work(child):
        while True:
            child.hear()
            with mmap.mmap(-1, size) as memory:
                for at in range(0, size, PAGE):
                    memory[at] = 1
            child.tell()

    return work


class Toucher:
    """Work for a Child: at each ask() it reads one byte of pages of a mapping, in any order; what that cost it stands
    in shared memory."""

    def __init__(self, path, pages, step):
        self.path = path
        self.pages = pages
        self.step = step
        self._shared = mmap.mmap(-1, PAGE)

    @property
    def faults(self):
        return int.from_bytes(self._shared[:8], "little")

    @property
    def ns(self):
        return int.from_bytes(self._shared[8:16], "little")

    def __call__(self, child):
        with open(self.path, "rb") as file:
            memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        memory.madvise(mmap.MADV_RANDOM)
        self.touch(child, memory)

    def touch(self, child, memory):
        places = list(range(0, self.pages * self.step, self.step))
        random.shuffle(places)
        while True:
            child.hear()
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
            start = time.monotonic_ns()
            for place in places:
                memory[place]
            ns = time.monotonic_ns() - start
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt - faults
            self._shared[:16] = faults.to_bytes(8, "little") + ns.to_bytes(8, "little")
            child.tell()


class SwappedToucher(Toucher):
    """The same with memory of its own, more of it than its cgroup may have."""

    def __init__(self, pages):
        super().__init__(None, pages, PAGE)

    def __call__(self, child):
        memory = mmap.mmap(-1, self.pages * PAGE)
        for at in range(0, len(memory), PAGE):
            memory[at : at + 8] = os.urandom(8)
        self.touch(child, memory)


def thread_named(name):
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if comm.read_text() == name + "\n":
                return int(comm.parent.name)
    raise AssertionError(f"expected a thread {name}")


@contextlib.contextmanager
def kswapd_held_up(cpu):
    """It has to share a CPU with who does not let go: others have to free their pages themselves."""

    def hog(child):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        live.spin(child)

    kswapd = thread_named("kswapd0")
    before = os.sched_getaffinity(kswapd)
    os.sched_setaffinity(kswapd, {cpu})
    try:
        with live.Child(hog, cpu=cpu):
            yield
    finally:
        os.sched_setaffinity(kswapd, before)


@contextlib.contextmanager
def swap_on(disk):
    block.ran("mkswap", disk.path)
    block.ran("swapon", disk.path)
    try:
        yield
    finally:
        block.ran("swapoff", disk.path)


def listed(stalls):
    return "; ".join(f"{name} {of_kind}" for name, of_kind in stalls.items())


class Stalls:
    """Of one kind, over reports."""

    count = ns = pages = p50 = 0

    def __str__(self):
        return f"{self.count} in {self.ns / 1e6:.2f} ms, {self.pages} pages"


class Memstall(live.TestCase):
    def traced(self, work, *arguments):
        """The reports on what `work` did meanwhile."""
        with live.Tracer("memstall", "--format", "json", *arguments, 0.5) as tracer:
            first = tracer.wait_report()
            work()
            tracer.stop()
            reports = tracer.reports(first)
        for key in ("map_full", "clock_anomaly", "ring_dropped", "missed_start", "recursion_misses"):
            self.assertEqual(live.losses(reports, key), 0, key)
        return reports

    @staticmethod
    def stalls(reports, path):
        """{kind: Stalls} of a cgroup."""
        found = {}
        for row in filter(None, (live.row_of(report, path) for report in reports)):
            for kind in row["kinds"]:
                metrics = kind["metrics"]
                time, pages = metrics["stall"], metrics.get("pages", {"value": 0})["value"]
                of_kind = found.setdefault(kind["entity"]["name"], Stalls())
                of_kind.p50 = max(of_kind.p50, time["p50"])
                of_kind.count += time["count"]
                of_kind.ns += time["sum"]
                of_kind.pages += pages
        return found

    @staticmethod
    def counted(reports, path, name):
        """A count of the kernel's of a cgroup."""
        rows = filter(None, (live.row_of(report, path) for report in reports))
        return sum(row["metrics"][name]["value"] for row in rows if name in row["metrics"])

    def check_psi(self, stalls, stalled_ns):
        """On one CPU the sum is that of PSI, which averages over CPUs otherwise."""
        if stalled_ns is None:
            return
        total = sum(of_kind.ns for of_kind in stalls.values())
        print(f"    PSI {stalled_ns / 1e6:.2f} ms; " + listed(stalls), flush=True)
        programs = PROGRAMS_NS * sum(of_kind.count for of_kind in stalls.values())
        self.assertAlmostEqual(total / 1e6, stalled_ns / 1e6, delta=(0.1 * stalled_ns + programs) / 1e6)


class Limit(Memstall):
    LIMIT = 32 * MIB

    def setUp(self):
        super().setUp()
        self.mounted = self.enter(Mounted(self.enter(LoopDisk(160 * MIB))))
        self.cgroup = self.enter(MemoryCgroup(self.LIMIT))
        self.cpu = live.last_cpu()

    @live.measured
    def test_reclaim_is_the_kernels(self):
        """Time as PSI has it, pages as memory.stat, hits as memory.events; nothing for a sibling without a limit."""
        path = make_file(self.mounted.directory, 128 * MIB)
        free = self.enter(MemoryCgroup())
        child = self.enter(live.Child(reads_a_file(path), self.cgroup, self.cpu))
        sibling = self.enter(live.Child(fills(16 * MIB), free, self.cpu))
        before = self.cgroup.stalled_ns(), self.cgroup.limit_hits()
        freed = None if self.cgroup.v1 else self.cgroup.number("memory.stat", "pgsteal_direct")

        def work():
            sibling.tell()
            child.ask()
            sibling.hear()

        reports = self.traced(work)
        stalls = self.stalls(reports, self.cgroup.path)
        reclaim = stalls["limit reclaim"]
        self.assertGreater(reclaim.count, 10)
        if before[0] is not None:
            self.check_psi(stalls, self.cgroup.stalled_ns() - before[0])
        if freed is None:
            self.assertGreaterEqual(reclaim.pages, (128 * MIB - self.LIMIT) // PAGE)
        else:
            self.assertEqual(reclaim.pages,
                             self.cgroup.number("memory.stat", "pgsteal_direct") - freed)
        # One at the edge of a window may be of the next one, which has no row then.
        self.assertAlmostEqual(self.counted(reports, self.cgroup.path, "limit_hits"),
                               self.cgroup.limit_hits() - before[1], delta=2)
        (limit,) = {row["metrics"]["limit"]["value"] for report in reports
                    for row in report["rows"] if row["entity"]["cgroup"] == self.cgroup.path}
        self.assertEqual(limit, self.LIMIT)
        self.assertNotIn("limit reclaim", self.stalls(reports, free.path))

    @live.measured
    def test_thrashing(self):
        """Any pages of a file a little larger than the limit, time and again: they are evicted too early."""
        path = make_file(self.enter(Mounted(self.enter(disk_to_wait_for()))).directory, 40 * MIB)
        child = self.enter(live.Child(reads_any_pages(path, 15_000), self.cgroup, self.cpu))
        for _ in range(4):  # until the kernel knows what its working set is
            child.ask()
        before, restored = self.cgroup.stalled_ns(), vmstat("workingset_restore_file")
        stalls = self.stalls(self.traced(child.ask), self.cgroup.path)
        restored = vmstat("workingset_restore_file") - restored
        if before is None:
            self.skipTest("there is no PSI")
        stalled_ns = self.cgroup.stalled_ns() - before
        print(f"    PSI {stalled_ns / 1e6:.2f} ms; {restored} pages of the working set came back; " + listed(stalls),
              flush=True)
        # PSI counts from before a wait is found to be one, and pages that are there by then.
        total = sum(of_kind.ns for of_kind in stalls.values())
        self.assertTrue(0.5 * stalled_ns < total < 1.1 * stalled_ns)
        # What was of the working set is for the kernel to say: with MGLRU it may be nothing of this.
        self.assertEqual("thrashing" in stalls, restored > 0)
        self.assertNotIn("major fault", stalls)

    @live.measured
    def test_memory_high(self):
        """Who is above memory.high sleeps: by PSI as long as here."""
        if self.cgroup.v1:
            self.skipTest("cgroup v1 has no memory.high")
        cgroup = self.enter(MemoryCgroup())
        cgroup.slow_down_above(8 * MIB)
        child = self.enter(live.Child(fills(9 * MIB), cgroup, self.cpu))
        before = cgroup.stalled_ns()
        stalls = self.stalls(self.traced(child.ask), cgroup.path)
        self.assertGreater(stalls["memory.high"].ns, 50e6)
        self.check_psi(stalls, cgroup.stalled_ns() - before)

    def test_one_that_is_killed(self):
        """The victim, whose limit it was, and who asked; as the kernel counts."""
        child = self.enter(live.Child(fills(2 * self.LIMIT), self.cgroup, self.cpu, name=b"greedy"))
        killed = None if self.cgroup.v1 else self.cgroup.number("memory.events", "oom_kill")

        def work():
            child.tell()
            with self.assertRaises(AssertionError):
                child.hear()

        reports = self.traced(work)
        (kill,) = [k for report in reports for k in report.get("kills", ())]
        self.assertEqual((kill["entity"]["cgroup"], kill["pid"], kill["comm"], kill["short_of_memory"]),
                         (self.cgroup.path, child.pid, "greedy", "cgroup"))
        self.assertEqual(kill["asked_by"]["pid"], child.pid)
        self.assertEqual(kill["asked_by"]["entity"]["cgroup"], self.cgroup.path)
        self.assertEqual(self.counted(reports, self.cgroup.path, "oom_kills"), 1)
        if killed is not None:
            self.assertEqual(self.cgroup.number("memory.events", "oom_kill"), killed + 1)

    def test_a_kill_that_is_not_for_memory(self):
        child = self.enter(live.Child(live.sleep_for_ever, self.cgroup))
        self.assertFalse([r for r in self.traced(child.stop) if "kills" in r])


class Faults(Memstall):
    PAGES = 300

    def setUp(self):
        super().setUp()
        self.cgroup = self.enter(MemoryCgroup())

    def touched(self, toucher):
        child = self.enter(live.Child(toucher, self.cgroup, live.last_cpu()))
        stalls = self.stalls(self.traced(child.ask, "--cgroup=" + self.cgroup.path), self.cgroup.path)
        print(f"    {toucher.faults} major faults, all took {toucher.ns / 1e6:.2f} ms; " + listed(stalls),
              flush=True)
        return stalls

    def touched_file(self, disk):
        mounted = self.enter(Mounted(disk))
        path = make_file(mounted.directory, 40 * MIB)
        toucher = Toucher(path, self.PAGES, 32 * PAGE)
        stalls = self.touched(toucher)
        self.assertEqual(toucher.faults, self.PAGES)
        self.assertLessEqual(stalls["major fault"].ns, toucher.ns)
        return stalls["major fault"]

    @live.measured
    def test_of_a_file(self):
        """No more waits than the process itself counts major faults; a disk in memory may be there before the wait."""
        waits = self.touched_file(self.enter(LoopDisk(64 * MIB)))
        self.assertLessEqual(waits.count, 1.05 * self.PAGES)
        self.assertGreaterEqual(waits.count, 0.8 * self.PAGES)

    def recorded(self, work):
        """The reports of a recording on what `work` did meanwhile, of the stalls and of what looks at all switches."""
        file = pathlib.Path(self.enter(tempfile.TemporaryDirectory())) / "a.rec"
        intervals = functools.partial(live.recorded_intervals, file)
        with live.Tracer("record", "--tools=blame,memstall", "-o", file, "--interval", "0.5") as recorder:
            live.until(intervals, "the first interval", every=0.1)
            work()
            before = intervals()
            live.until(lambda: intervals() >= before + 2, "two more intervals", every=0.1)
            self.assertEqual(recorder.stop(), 0, recorder.err)
        result = live.run("report", file, "memstall", "--format", "json")
        self.assertEqual(result.code, 0, result.err)
        return [json.loads(line) for line in result.out.splitlines()]

    @live.measured
    def test_beside_the_scheduler(self):
        """Where all switches are looked at for something else, that program calls the one for stalls: as many waits."""
        mounted = self.enter(Mounted(self.enter(LoopDisk(64 * MIB))))
        toucher = Toucher(make_file(mounted.directory, 40 * MIB), self.PAGES, 32 * PAGE)
        child = self.enter(live.Child(toucher, self.cgroup, live.last_cpu()))
        stalls = self.stalls(self.recorded(child.ask), self.cgroup.path)
        print(f"    {toucher.faults} major faults; " + listed(stalls), flush=True)
        self.assertEqual(toucher.faults, self.PAGES)
        self.assertLessEqual(stalls["major fault"].ns, toucher.ns)
        self.assertLessEqual(stalls["major fault"].count, 1.05 * self.PAGES)
        self.assertGreaterEqual(stalls["major fault"].count, 0.8 * self.PAGES)

    @live.measured
    def test_of_a_file_on_a_slow_disk(self):
        """Each fault is a wait for nearly the delay: some of it goes by before the process sleeps."""
        delay = 5_000_000
        disk = block.null_disk(self, size=128 * MIB, memory_backed=1, irqmode=2, completion_nsec=delay)
        waits = self.touched_file(disk)
        self.assertLessEqual(waits.count, 1.02 * self.PAGES)
        self.assertGreaterEqual(waits.count, 0.98 * self.PAGES)
        self.assertGreaterEqual(waits.p50, 0.9 * delay * (1 - ERROR_BOUND))
        self.assertGreaterEqual(waits.ns, 0.9 * waits.count * delay)

    @live.measured
    def test_of_swap(self):
        """From swap, and told as such; no more waits than faults."""
        cgroup = self.cgroup = self.enter(MemoryCgroup(24 * MIB))
        self.enter(swap_on(self.enter(LoopDisk(128 * MIB))))
        toucher = SwappedToucher(48 * MIB // PAGE)
        swapped = vmstat("pswpin")
        stalls = self.touched(toucher)
        self.assertGreater(vmstat("pswpin"), swapped)
        self.assertGreater(toucher.faults, 0)
        self.assertNotIn("major fault", stalls)
        self.assertLessEqual(stalls["swap-in"].count, 1.05 * toucher.faults)
        self.assertGreaterEqual(stalls["swap-in"].count, 0.5 * toucher.faults)
        self.assertGreater(stalls["limit reclaim"].count, 0, cgroup.path)


class Host(Memstall):
    def test_compaction(self):
        """Who has the kernel compact its memory does that once for each zone that has pages."""
        compact = pathlib.Path("/proc/sys/vm/compact_memory")
        if not compact.exists():
            self.skipTest("the kernel has no compaction")
        zones = re.findall(r"(?m)^ +present +([1-9]\d*)$", pathlib.Path("/proc/zoneinfo").read_text())
        cgroup = self.enter(MemoryCgroup())

        def work(child):
            child.hear()
            compact.write_text("1")
            child.tell()

        child = self.enter(live.Child(work, cgroup))
        stalls = self.stalls(self.traced(child.ask), cgroup.path)
        self.assertEqual(stalls["compaction"].count, len(zones))

    @unittest.skipUnless(live.EMULATED, "the host's memory is not the test's to take")
    def test_reclaim(self):
        """As many direct reclaims as the kernel counts, where the host is short of memory."""
        path = make_file(self.enter(Mounted(self.enter(LoopDisk(400 * MIB)))).directory, 320 * MIB)
        reserve = pathlib.Path("/proc/sys/vm/min_free_kbytes")
        before = reserve.read_text()
        self.addCleanup(reserve.write_text, before)
        available = int(re.search(r"MemFree: +(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])
        held, cpu = sorted(os.sched_getaffinity(0))[:2]
        cgroup = self.enter(MemoryCgroup())
        child = self.enter(live.Child(reads_a_file(path), cgroup, cpu))
        self.enter(kswapd_held_up(held))
        counted = []

        def work():
            counted.append((vmstat("allocstall"), vmstat("pgscan_direct_throttle")))
            reserve.write_text(str(available - 100 * 1024))
            child.ask()
            reserve.write_text(before)
            counted.append((vmstat("allocstall"), vmstat("pgscan_direct_throttle")))

        reports = self.traced(work)
        seen = sum(kind["metrics"]["stall"]["count"] for report in reports for row in report["rows"]
                   for kind in row["kinds"] if kind["entity"]["name"] == "reclaim")
        reclaims, waits = (now - then for then, now in zip(*counted, strict=True))
        print(f"    {seen} direct reclaims, the kernel counts {reclaims} and {waits} waits for kswapd", flush=True)
        # Threads of the kernel are not seen.
        self.assertGreaterEqual(seen, max(0.9 * reclaims, 1))
        self.assertLessEqual(seen, reclaims + waits)


class Usage(live.TestCase):
    def test_nothing_to_report(self):
        cgroup = self.enter(MemoryCgroup())
        result = live.run("memstall", "--cgroup=" + cgroup.path, 0.1, 1)
        self.assertEqual(result.code, 0)
        self.assertIn("no task was held up for memory", result.out)


if __name__ == "__main__":
    unittest.main()
