# SPDX-License-Identifier: GPL-2.0-only
"""A real guest for live tests: Linux, with a disk that it writes and reads all the time, so that there are exits
of every kind. And `perf kvm stat` as an oracle of them."""

import contextlib
import os
import pathlib
import re
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import unittest

import kvm_live as kvm
import vtrace_live as live

sys.path.append(str(live.ROOT / "tests" / "lab"))
import kernels
import machine

MODULES = ("virtio_pci", "virtio_blk")
DISK_BYTES = 16 << 20
ROUND = 64  # blocks of 4 KiB that are written, then read, until the guest reports again
SLOWEST = 10  # blocks a second
BOOTING = 100 if live.EMULATED else 60  # seconds; in the lab it takes 10 to 40

# What is left out does nothing for a guest of one disk, and takes time to start.
COMMAND_LINE = "console=ttyS0 quiet nokaslr mitigations=off audit=0 lsm=capability no_timer_check"

# It sleeps between its rounds because a disk can be so fast that the guest never halts for it (5.10 in the lab).
INIT = f"""#!/bin/busybox sh
export PATH=/bin
busybox mount -t devtmpfs devtmpfs /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
while read -r module; do
    busybox insmod "/modules/$module"
done </modules/order
busybox echo {kvm.LINE}
blocks=0
while busybox dd if=/dev/zero of=/dev/vda bs=4k count={ROUND} oflag=direct 2>/error &&
    busybox dd if=/dev/vda of=/dev/null bs=4k count={ROUND} iflag=direct 2>/error; do
    blocks=$((blocks + {ROUND}))
    busybox echo "blocks=$blocks"
    busybox usleep 20000
done
busybox cat /error
busybox poweroff -f
"""


def on_one_cpu(test):
    """Marks a test, or a class of them, with a LinuxGuest: the lab runs it in a machine with one CPU.

    With two, none of 9 guests came up: an interrupt that KVM injects is delivered once more while the guest has
    them off, and its Linux hangs in a spin lock. By its source, TCG does so (QEMU 7.2) where it is told to leave
    the vCPU right after VMRUN, which leaves the interrupt's number in exception_index. With one, all did."""
    test.on_one_cpu = True
    return test


# ---- the guest ----


def _kernel():
    """What the guest boots: in the lab the kernel that runs there, else the newest of the lab's."""
    if live.EMULATED:
        modules = pathlib.Path(pathlib.Path("/run/lab/modules").read_text())
        return kernels.Kernel("", modules.name, "", modules.parents[2])
    for series in reversed(kernels.SERIES):
        try:
            return kernels.get(series, offline=True)
        except kernels.FetchError:
            pass
    raise unittest.SkipTest("no kernel for a guest: ./dev lab fetches some")


def _initramfs(kernel):
    """One whose only process is INIT."""
    entries = {name: (stat.S_IFDIR | 0o755, b"") for name in ("bin", "dev", "modules")}
    busybox = pathlib.Path(shutil.which("busybox")).read_bytes()
    entries["bin/busybox"] = (stat.S_IFREG | 0o755, busybox)
    entries["init"] = (stat.S_IFREG | 0o755, INIT.encode())
    return machine.cpio(entries | machine.modules(kernel, MODULES))


class LinuxGuest(kvm.QemuGuest):
    """A QemuGuest whose LINE comes from its first process, which from then on writes to its disk and reads
    from it: wait_io(). The disk is a file in memory that a thread of QEMU's serves: io_threads()."""

    ATTEMPTS, PATIENCE = 1, BOOTING

    def __init__(self, name, *more, cgroup=None, cpu=None, cpus=1):
        if kvm.exit_codes() is None:
            # PVM of 6.18 emulates what a guest's kernel does. A 6.12 stops in its decompressor, at an
            # instruction that the emulator lacks; a 5.10 does not come beyond "Memory:" in 5 minutes.
            raise unittest.SkipTest(f"KVM is neither SVM nor VMX here ({kvm.flavour()}): no Linux boots in it")
        if live.EMULATED and live.kernel()[:2] == (6, 18):
            # QEMU says "KVM internal error. Suberror: 3" at a doorbell: KVM there looks at the type in
            # EXITINTINFO, which TCG leaves behind from an earlier exit, and not at its valid bit.
            raise unittest.SkipTest("KVM of 6.18 takes what TCG leaves in EXITINTINFO for an event in delivery")
        if live.EMULATED and os.cpu_count() > 1:
            raise AssertionError("expected a lab machine with one CPU: mark the test on_one_cpu")
        with contextlib.ExitStack() as stack:
            self._disk = stack.enter_context(
                tempfile.NamedTemporaryFile(prefix="vtrace-test-", dir="/dev/shm")
            )
            self._disk.truncate(DISK_BYTES)
            super().__init__(name, *more, cgroup=cgroup, cpu=cpu, cpus=cpus)
            self._disks = stack.pop_all()

    def _sector(self, spins, disk):
        """What it boots: these options come after QemuGuest's, and replace them."""
        kernel = _kernel()
        initramfs = self._directory / "initramfs"
        initramfs.write_bytes(_initramfs(kernel))
        return (
            # Not -cpu host: under TCG a nested guest's XSAVE is inconsistent, which kills 5.10's first process.
            *("-machine", "q35", "-m", "256"),
            *("-kernel", str(kernel.image), "-initrd", str(initramfs), "-append", COMMAND_LINE),
            *("-object", "iothread,id=io1"),
            *("-drive", f"if=none,id=disk,file={self._disk.name},format=raw"),
            *("-device", "virtio-blk-pci,drive=disk,iothread=io1"),
        )

    def blocks(self):
        """How many blocks of 4 KiB the guest has written and read, as it has reported."""
        found = re.findall(r"blocks=(\d+)\r?\n", self.serial())
        return int(found[-1]) if found else 0

    def wait_io(self, blocks=ROUND):
        """Waits until the guest has reported so many blocks more; returns how many it has by then."""
        wanted = self.blocks() + blocks
        seconds = live.PATIENCE + blocks / SLOWEST
        live.until(
            lambda: self.blocks() >= wanted or self.process.poll() is not None,
            f"the guest has written {blocks} blocks; it says {self.serial()[-300:]!r}",
            seconds,
        )
        if self.process.poll() is not None:
            raise AssertionError(f"expected the guest to run, it said {self.serial()[-300:]!r}")
        return self.blocks()

    def io_threads(self):
        """The tids of the threads that serve its disk."""
        return [tid for tid, name in self.threads().items() if name.startswith("IO ")]

    def stop(self):
        super().stop()
        self._disks.close()


class OneGuest:
    """For a test case: all of its tests look at one guest, as it takes half a minute to boot in the lab."""

    NAME = "web-1"
    guest = None

    def setUp(self):
        kvm.need_kvm()
        super().setUp()
        if self.guest is None:
            type(self).guest = LinuxGuest(self.NAME)
            self.addClassCleanup(self._leave)
        (self.vcpu,) = self.guest.vcpus()

    @classmethod
    def _leave(cls):
        cls.guest.stop()
        cls.guest = None

    def trace(self, event, condition=""):
        """Counts what its vCPU does."""
        only = f"common_pid == {self.vcpu}" + (f" && {condition}" if condition else "")
        return self.enter(kvm.TraceCount(event, only))


# ---- another account of exits ----


# perf looks for tracepoints where tracefs is usually mounted. It also looks at every module there is, which
# takes minutes over 9p beside a guest.
PERF_MOUNTS = """
mount -t tracefs tracefs /sys/kernel/tracing
[ ! -d /lib/modules ] || mount -t tmpfs tmpfs /lib/modules
"""


class PerfKvmStat:
    """`perf kvm stat` of a process, from here to stop().

    Its exits are those from which a vCPU came back: the last of each is not among them."""

    def __init__(self, pid):
        perf = shutil.which("perf")
        if not perf:
            raise unittest.SkipTest("no perf")
        with contextlib.ExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="vtrace-test-"))
            self._data = os.path.join(directory, "data")
            self._prefix = [*live.private_mounts(PERF_MOUNTS), perf, "kvm"]
            self._log = stack.enter_context(open(os.path.join(directory, "log"), "w+", encoding="utf-8"))
            # perf enables the events, then starts the command. It ends when the command does.
            self._process = subprocess.Popen(
                [
                    *(*self._prefix, "stat", "record", "-o", self._data, "-p", str(pid)),
                    *("sh", "-c", "echo ready; exec cat >/dev/null"),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
            )
            stack.callback(self._end)
            if not select.select([self._process.stdout], [], [], live.PATIENCE)[0]:
                raise AssertionError(f"expected within {live.PATIENCE:g} s that perf records: {self._said()}")
            line = self._process.stdout.readline()
            if line != "ready\n":
                raise AssertionError(f"expected perf to record, got {line!r}: {self._said()}")
            self._stack = stack.pop_all()

    def _said(self):
        self._log.seek(0)
        return self._log.read()

    def _end(self):
        self._process.stdin.close()
        try:
            self._process.wait(live.PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def stop(self):
        """{reason: how many exits}"""
        with self._stack:
            self._end()
            if self._process.returncode != 0:
                raise AssertionError(f"expected perf to record: {self._said()}")
            done = subprocess.run(
                [*self._prefix, "-i", self._data, "stat", "report", "--event=vmexit"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=2 * live.PATIENCE,
                check=False,
            )
            said = done.stdout + done.stderr
            found = re.findall(r"(?m)^ *(\S+) +(\d+) +[\d.]+% +[\d.]+%", said)
            if done.returncode != 0 or not found or "lost" in said.lower():
                raise AssertionError(f"expected a report of perf kvm stat, got {said!r}")
            return {reason: int(count) for reason, count in found}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()


def perf_kvm_stat(pid, seconds):
    """{reason: how many exits} of so many seconds of a process, as perf counts them."""
    with PerfKvmStat(pid) as perf:
        time.sleep(seconds)
        return perf.stop()
