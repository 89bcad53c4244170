# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of block I/O share: disks of their own, I/O that is counted as it is done, the kernel's counts."""

import collections
import contextlib
import fcntl
import json
import mmap
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import time

import vtrace_live as live

MIB = 1 << 20
REACH = 8 * MIB  # of a disk that is read and written past the page cache
BLKDISCARD = 0x1277  # linux/fs.h
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
LOOP_CTL_REMOVE = 0x4C81  # linux/loop.h
UNCHANGED = 0.05  # seconds after which the kernel's count of a disk without I/O is its last


def ran(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"expected {command} to succeed: {done.stderr!r}")
    return done.stdout.strip()


def modprobe(*arguments):
    program = shutil.which("modprobe", path="/sbin:/usr/sbin:" + os.environ.get("PATH", ""))
    command = [program or pathlib.Path("/proc/sys/kernel/modprobe").read_text().strip()]
    with contextlib.suppress(OSError):
        return subprocess.run([*command, *arguments], check=False,
                              capture_output=True).returncode == 0
    return False


def load_module(name, *parameters):
    """True if it is loaded now, or built in."""
    return pathlib.Path(f"/sys/module/{name}").exists() or modprobe(name, *parameters)


class BlockCgroup(live.Cgroup):
    """In the hierarchy that block I/O is charged to."""

    controller = "blkio"

    def __init__(self, suffix="", parent=None, io=True):
        super().__init__(suffix, parent)
        if not self.v1 and io:
            self._write(b"../cgroup.subtree_control", "+io")
            self._write(b"../cgroup.subtree_control", "+memory")

    def limit_writes(self, disk, bytes_per_second):
        if self.v1:
            self._write(b"blkio.throttle.write_bps_device", f"{disk.number} {bytes_per_second}")
        else:
            self._write(b"io.max", f"{disk.number} wbps={bytes_per_second}")

    def weigh_io(self, weight):
        self._write(b"io.weight", weight)

    def account(self, disk):
        """Has the kernel keep its own account: v1 does so with a limit only (since 6.10), however high."""
        if self.v1:
            for kind in ("read", "write"):
                self._write(b"blkio.throttle.%s_bps_device" % kind.encode(),
                            f"{disk.number} {1 << 40}")

    def bytes_of(self, disk):
        """(read, written) by the kernel's own account of the cgroup."""
        if self.v1:
            name, pattern = "blkio.throttle.io_service_bytes", r"^%s (Read|Write) (\d+)$"
        else:
            name, pattern = "io.stat", None
        text = (pathlib.Path(os.fsdecode(self.directory)) / name).read_text()
        if pattern is None:
            line = re.search(rf"(?m)^{disk.number} .*rbytes=(\d+) wbytes=(\d+)", text)
            return (int(line[1]), int(line[2])) if line else (0, 0)
        found = dict(re.findall("(?m)" + pattern % re.escape(disk.number), text))
        return int(found.get("Read", 0)), int(found.get("Write", 0))


class LoopDisk:
    """A loop device over a file of its own, in memory unless it is to be elsewhere."""

    def __init__(self, size=64 * MIB, directory=None):
        load_module("loop")
        shm = "/dev/shm" if os.path.ismount("/dev/shm") else None
        self._file = tempfile.NamedTemporaryFile(prefix="vtrace-test-", dir=directory or shm)
        self._file.truncate(size)
        self._file.flush()
        # All there, so that what is read is read from a disk.
        if directory is None:
            for _ in range(size // MIB):
                self._file.write(bytes(MIB))
            self._file.flush()
        before = os.listdir("/sys/block")
        self.path = ran("losetup", "--find", "--show", self._file.name)
        self.name = os.path.basename(self.path)
        self._is_new = self.name not in before

    @property
    def number(self):
        device = os.stat(self.path).st_rdev
        return f"{os.major(device)}:{os.minor(device)}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["losetup", "-d", self.path], check=False)
        self._file.close()
        # A hundred empty ones would be looked at by whoever looks at disks.
        if self._is_new:
            with open("/dev/loop-control", "rb") as control, contextlib.suppress(OSError):
                fcntl.ioctl(control, LOOP_CTL_REMOVE, int(self.name.removeprefix("loop")))


class NullDisk:
    """A disk of null_blk's, which keeps nothing: without settings, as fast as requests can be."""

    CONFIGURED = pathlib.Path("/sys/kernel/config")
    number = LoopDisk.number

    @staticmethod
    def possible():
        return load_module("null_blk", "nr_devices=0")

    def __init__(self, size=64 * MIB, **settings):
        if not os.path.ismount(self.CONFIGURED):
            ran("mount", "-t", "configfs", "none", str(self.CONFIGURED))
        self._directory = self.CONFIGURED / "nullb" / os.fsdecode(live.new_name())
        self._directory.mkdir()
        before = set(os.listdir("/sys/block"))
        for name, value in {"size": size // MIB, **settings, "power": 1}.items():
            (self._directory / name).write_text(str(value))
        # Before 5.19 a number is its name, not the directory's.
        (self.name,) = set(os.listdir("/sys/block")) - before
        self.path = f"/dev/{self.name}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._directory.rmdir()


def null_disk(test, **settings):
    """For as long as the test runs; without null_blk it is skipped."""
    if not NullDisk.possible():
        test.skipTest("the kernel has no null_blk")
    return test.enter(NullDisk(**settings))


def fast_disk(size=64 * MIB):
    """One that is never waited for."""
    return NullDisk(size) if NullDisk.possible() else LoopDisk(size)


class Mounted:
    """A file system (ext4) on a disk."""

    def __init__(self, disk):
        ran("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", disk.path)
        self.directory = tempfile.mkdtemp(prefix="vtrace-test-")
        ran("mount", "-t", "ext4", disk.path, self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.directory], check=False)
        os.rmdir(self.directory)


@contextlib.contextmanager
def frozen(mounted):
    """No write to the file system ends meanwhile."""
    fd = os.open(mounted.directory, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, FIFREEZE, struct.pack("i", 0))
        try:
            yield
        finally:
            fcntl.ioctl(fd, FITHAW, struct.pack("i", 0))
    finally:
        os.close(fd)


Counts = collections.namedtuple("Counts", "reads read_bytes writes write_bytes discards flushes merged ms")


def all_diskstats():
    """{name of a disk: the kernel's counts} (Documentation/admin-guide/iostats.rst)."""
    found = {}
    for line in pathlib.Path("/proc/diskstats").read_text().splitlines():
        name, *fields = line.split()[2:]
        f = [int(n) for n in fields]
        found[name] = Counts(f[0], f[2] * 512, f[4], f[6] * 512, f[11], f[15], f[1] + f[5],
                             f[3] + f[7] + f[14] + f[16])
    return found


def diskstats(disk):
    return all_diskstats()[disk.name]


def wait_at_rest(disk):
    """The kernel counts a request after it has told who waits for it."""
    before = None
    while (now := diskstats(disk)) != before:
        before = now
        time.sleep(UNCHANGED)


def since(now, before):
    return Counts(*(a - b for a, b in zip(now, before, strict=True)))


class DirectIo:
    """Work for a Child: each ask() does `operations`, (kind, size, count), on the disk, past the page cache."""

    def __init__(self, disk, *operations):
        self.disk = disk
        self.operations = operations

    def __call__(self, child):
        fd = os.open(self.disk.path, os.O_RDWR | os.O_DIRECT)
        while True:
            child.hear()
            for kind, size, count in self.operations:
                self.do(fd, kind, size, count)
            child.tell()

    @staticmethod
    def do(fd, kind, size, count):
        with mmap.mmap(-1, max(size, 1)) as buffer:
            for i in range(count):
                at = i * size % REACH
                if kind == "write":
                    os.pwrite(fd, buffer, at)
                elif kind == "read":
                    os.preadv(fd, [buffer], at)
                elif kind == "discard":
                    fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", at, size))
                else:
                    os.fsync(fd)


def writes_for(disk, seconds, size=4096, pause=0):
    """Work for a Child: at each ask() direct writes one after the other, for that long."""

    def work(child):
        fd = os.open(disk.path, os.O_RDWR | os.O_DIRECT)
        with mmap.mmap(-1, size) as buffer:
            while True:
                child.hear()
                end = time.monotonic() + seconds
                i = 0
                while time.monotonic() < end:
                    os.pwrite(fd, buffer, i * size % REACH)
                    i += 1
                    time.sleep(pause)
                child.tell()

    return work


def fio(disk, seconds, jobs=4):
    """Random reads of 4 KiB, as fast as they go, 16 at a time in each job; how many they were."""
    out = ran("fio", "--name=r", f"--filename={disk.path}", "--direct=1", "--rw=randread", "--bs=4k",
              "--ioengine=libaio", "--iodepth=16", f"--numjobs={jobs}", "--group_reporting",
              "--time_based", f"--runtime={seconds}s", "--output-format=json")
    return json.loads(out)["jobs"][0]["read"]["total_ios"]


def by_key(reports):
    """{(path of a cgroup, or the row's kind, disk, operation): count} over reports of biolatency."""
    found = collections.Counter()
    for report in reports:
        for row in report["rows"]:
            owner = row["entity"]["cgroup"] or row["entity"]["kind"]
            for operation in row["operations"]:
                entity = operation["entity"]
                found[owner, entity["labels"]["disk"], entity["name"]] += (
                    operation["metrics"]["count"]["value"])
    return found


def buffered_writes_for(disk, seconds, then=os.fdatasync):
    """The same through the page cache, elsewhere on the disk, each page a request; `then` is done after 256."""

    def work(child):
        fd = os.open(disk.path, os.O_RDWR)
        while True:
            child.hear()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for at in range(REACH, REACH + 2 * MIB, 2 * 4096):
                    os.pwrite(fd, bytes(4096), at)
                then(fd)
            child.tell()

    return work


def figures(reports, disk, path=None, key="count"):
    """{operation: figure} on a disk over reports of biolatency; of one cgroup, or of all. `path` may be the
    name of a row of the kernel's."""
    found = collections.Counter()
    for report in reports:
        for row in report["rows"]:
            entity = row["entity"]
            if path is not None and path not in (entity["cgroup"], f"{entity['kind']}: {entity['name']}"):
                continue
            for operation in row["operations"]:
                if operation["entity"]["labels"]["disk"] == disk.name:
                    found[operation["entity"]["name"]] += operation["metrics"][key]["value"]
    return {name: count for name, count in found.items() if count}


def sums(reports, disk, path=None, histogram="total"):
    """The sum of a histogram on a disk, in ns."""
    return sum(
        operation["metrics"][histogram]["sum"]
        for report in reports
        for row in report["rows"]
        if path is None or row["entity"]["cgroup"] == path
        for operation in row["operations"]
        if operation["entity"]["labels"]["disk"] == disk.name
    )
