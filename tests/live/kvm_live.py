# SPDX-License-Identifier: GPL-2.0-only
"""What the live tests of KVM share: guests with known exits, and the kernel's own tracepoints as oracle."""

import collections
import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import vtrace_live as live
from waiters_live import account, accounts

BUILD = pathlib.Path(os.environ.get("VTRACE_BUILD", live.ROOT / "build"))
KVM = pathlib.Path("/dev/kvm")

_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(live.PR_SET_PDEATHSIG, signal.SIGKILL)


# ---- which KVM this is ----

ExitCodes = collections.namedtuple("ExitCodes", "io cpuid hlt")

# As kvm:kvm_exit has them: arch/x86/include/uapi/asm/{svm,vmx}.h.
EXIT_CODES = {"kvm_amd": ExitCodes(0x7B, 0x72, 0x78), "kvm_intel": ExitCodes(30, 10, 12)}


def need_kvm():
    """Skips the test where there is no /dev/kvm, after an attempt to load its modules."""
    tried = "no modprobe to load it with"
    if not KVM.exists() and shutil.which("modprobe"):
        said = []
        for module in ("kvm-amd", "kvm-intel"):
            done = subprocess.run(["modprobe", module], capture_output=True, text=True, check=False)
            said += done.stderr.strip().splitlines()[-1:]
        tried = "; ".join(said) or "modprobe loaded KVM's modules"
        with contextlib.suppress(AssertionError):
            live.until(KVM.exists, "/dev/kvm", 2)
    if not KVM.exists():
        raise unittest.SkipTest(f"no /dev/kvm ({tried})")


def exit_codes():
    """The codes of this machine's exits, or None where KVM is neither SVM nor VMX."""
    for module, codes in EXIT_CODES.items():
        if pathlib.Path("/sys/module", module).exists():
            return codes
    return None


def is_loaded_module(name):
    """Whether it is loaded, and could be unloaded."""
    return pathlib.Path("/sys/module", name, "refcnt").exists()


def flavour():
    """What implements KVM here, for messages."""
    modules = sorted(p.name for p in pathlib.Path("/sys/module").glob("kvm_*"))
    return ", ".join(modules) or "unknown"


# ---- the kernel's own account ----

SYS_FSOPEN, SYS_FSCONFIG, SYS_FSMOUNT = 430, 431, 432  # since 5.2, the same everywhere
FSCONFIG_CMD_CREATE = 6


def _system_call(name, number, *arguments):
    result = _libc.syscall(number, *arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


@contextlib.contextmanager
def detached(kind):
    """The path of a mount of a file system (tracefs, debugfs) that is in nobody's mount namespace: it
    goes with this process, however that ends."""
    context = _system_call("fsopen", SYS_FSOPEN, ctypes.c_char_p(kind.encode()), 0)
    try:
        _system_call("fsconfig", SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0)
        mount = _system_call("fsmount", SYS_FSMOUNT, context, 0, 0)
    finally:
        os.close(context)
    try:
        yield pathlib.Path(f"/proc/self/fd/{mount}")
    finally:
        os.close(mount)


class TraceCount:
    """How often a tracepoint fired: TraceCount("kvm/kvm_pio", "common_pid == 7").

    Each has a tracefs instance of its own, so that several can look at one tracepoint with different
    filters. What counts is how many records were written: none is read for it, and those that newer ones
    replaced count, too. (A hist trigger would do, but not all kernels are built with it.)"""

    def __init__(self, event, condition=None):
        self.event = event
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            tracefs = stack.enter_context(detached("tracefs"))
            if not (tracefs / "events" / event).is_dir():
                raise AssertionError(f"expected the kernel to have the tracepoint {event}")
            self._remove_stale(tracefs)
            self._instance = tracefs / "instances" / os.fsdecode(live.new_name())
            self._instance.mkdir()
            stack.callback(self._remove)
            self._directory = self._instance / "events" / event
            (self._instance / "buffer_size_kb").write_text("64")
            if condition:
                (self._directory / "filter").write_text(condition)
            (self._directory / "enable").write_text("1")
            self._stack = stack.pop_all()

    @staticmethod
    def _remove_stale(tracefs):
        """Instances that a test left behind that was killed."""
        for instance in (tracefs / "instances").glob("vtrace-test-*"):
            if not pathlib.Path("/proc", instance.name.split("-")[2]).exists():
                with contextlib.suppress(OSError):
                    for enable in instance.glob("events/*/enable"):
                        enable.write_text("0")
                    instance.rmdir()

    def _remove(self):
        (self._directory / "enable").write_text("0")
        # Busy for a moment while somebody looks at it.
        with contextlib.suppress(FileNotFoundError):
            live.until(self._removed, f"tracefs instance {self._instance.name} can be removed")

    def _removed(self):
        try:
            self._instance.rmdir()
        except OSError:
            return False
        return True

    def count(self):
        total = 0
        for stats in self._instance.glob("per_cpu/cpu*/stats"):
            figures = dict(line.split(": ") for line in stats.read_text().splitlines())
            if int(figures["dropped events"]):
                raise AssertionError(f"expected no lost records of {self.event}: {figures}")
            total += int(figures["entries"]) + int(figures["overrun"])
        return total

    def text(self):
        """The records that are still there (some thousand are), as the kernel prints them."""
        return (self._instance / "trace").read_text()

    def close(self):
        self._stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- guests ----


def threads(pid):
    """{tid: name}"""
    names = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            names[int(task.name)] = (task / "comm").read_text().rstrip("\n")
    return names


def vcpu_threads(pid):
    """The tids of the vCPUs, in their order, by the names that QEMU gives them."""
    named = ((re.fullmatch(r"CPU (\d+)/KVM", name), tid) for tid, name in threads(pid).items())
    return [tid for _, tid in sorted((int(match[1]), tid) for match, tid in named if match)]


class TinyGuest:
    """The workload tests/workloads/kvm_guest.cpp: `round()` is so many writes to a port, CPUIDs and HLTs.

    The options are the workload's: `vmm_sleep_us=100` is its --vmm-sleep-us 100. Its head says what they
    do and what the figures of a round are. A single vCPU is the main thread, `pid`."""

    NO_INTERRUPT_CONTROLLER = 4  # its exit code

    def __init__(self, pio, cpuids=0, halts=0, cgroup=None, **options):
        def prepare():
            _die_with_parent()
            if cgroup:
                cgroup.add(os.getpid())

        self.process = subprocess.Popen(
            [
                *(BUILD / "wl_kvm_guest", str(pio), str(cpuids), str(halts)),
                *(f"--{name.replace('_', '-')}={value}" for name, value in options.items()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=prepare,
        )
        self.pid = self.process.pid
        if self.process.stdout.readline() != "ready\n":
            self._explain()

    def _explain(self):
        code = self.process.wait(live.PATIENCE)
        self.stop()
        if code == self.NO_INTERRUPT_CONTROLLER:
            raise unittest.SkipTest(f"KVM has no interrupt controller here ({flavour()})")
        raise AssertionError(f"expected a guest, exit code {code}")

    def vcpus(self):
        """The tids of the vCPUs, in their order."""
        return vcpu_threads(self.pid) or [self.pid]

    def begin(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        """What the process saw of the round that begin() started: {"pio": 100, …}."""
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("expected the guest to end its round, it died")
        return {key: int(value) for key, value in (pair.split("=") for pair in line.split())}

    def round(self):
        self.begin()
        return self.end()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


LINE = "vtrace-guest-is-up"

# Where the BIOS puts it.
_ORIGIN = 0x7C00
# Prints what is at `text` on the serial port.
_PRINT = bytes(
    [
        *(0x31, 0xC0, 0x8E, 0xD8, 0xFC),  # xor ax, ax; mov ds, ax; cld
        *(0xBE, 0x00, 0x00),  #         mov si, text
        *(0xBA, 0xF8, 0x03),  #         mov dx, 0x3f8: the serial port
        *(0xAC, 0x84, 0xC0, 0x74, 0x03),  # next: lodsb; test al, al; jz end
        *(0xEE, 0xEB, 0xF8),  #         out dx, al; jmp next
    ]
)
_TEXT_AT = 6  # of `text` in it
_HALT = bytes([0xFB, 0xF4, 0xEB, 0xFC])  # halt: sti; hlt; jmp halt
_SPIN = bytes([0xEB, 0xFE])  # spin: jmp spin


def _tick_each(us, at):
    """Lets the PC's timer (8254) interrupt so often, in place of 18 times a second. The code is at this address.
    Without the BIOS, whose handler takes milliseconds where the CPU is emulated."""
    divisor = round(us * 1.193182).to_bytes(2, "little")
    handler = bytes([0x50, 0xB0, 0x20, 0xE6, 0x20, 0x58, 0xCF])  # push ax; mov al, 0x20; out 0x20, al; pop ax; iret
    skip = bytes([0xEB, len(handler)])  # jmp
    where = (at + len(skip)).to_bytes(2, "little")
    return bytes(
        [
            *(*skip, *handler),
            *(0xFA, 0xC7, 0x06, 0x20, 0x00, *where),  # cli; mov word [0x20], handler: interrupt 8
            *(0xC7, 0x06, 0x22, 0x00, 0x00, 0x00),  #   mov word [0x22], 0
            *(0xB0, 0x34, 0xE6, 0x43),  #               mov al, 0x34; out 0x43, al: counter 0, mode 2
            *(0xB0, divisor[0], 0xE6, 0x40, 0xB0, divisor[1], 0xE6, 0x40),
        ]
    )


def _boot_sector(spins, tick_us=None):
    """Prints LINE, then halts, woken by the BIOS's timer; or spins."""
    tick = _tick_each(tick_us, _ORIGIN + len(_PRINT)) if tick_us else b""
    code = bytearray(_PRINT + tick + (_SPIN if spins else _HALT))
    code[_TEXT_AT:_TEXT_AT + 2] = (_ORIGIN + len(code)).to_bytes(2, "little")
    return bytes(code + LINE.encode() + b"\r\n\0").ljust(510, b"\0") + b"\x55\xaa"


class QemuGuest:
    """A real QEMU guest, up: it has printed LINE on its serial port.

    It boots a boot sector, which then `spins` or else halts, for `tick_us` at a time. One that
    spins has no thread of the kernel beside it (kvm-pit), which would go on while the guest stands still. `disk` is
    a block device to boot from, past the page cache; `more` are more options for QEMU; without a name it has none. In
    the lab the BIOS of a guest stalls now and then: it is started again."""

    ATTEMPTS, PATIENCE = (3, 15) if live.EMULATED else (1, live.PATIENCE)

    def __init__(self, name, *more, spins=False, cgroup=None, cpu=None, cpus=1, disk=None, tick_us=None):
        self._tick_us = tick_us
        qemu = shutil.which("qemu-system-x86_64")
        if not qemu:
            raise unittest.SkipTest("no qemu-system-x86_64")
        with contextlib.ExitStack() as stack:
            self._directory = pathlib.Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="vtrace-test-"))
            )
            self._serial = self._directory / "serial"
            self._log = stack.enter_context(open(self._directory / "log", "w+b"))

            def prepare():
                _die_with_parent()
                if cgroup:
                    cgroup.add(os.getpid())
                if cpu is not None:
                    os.sched_setaffinity(0, {cpu})

            command = [
                qemu,
                *(("-name", f"guest={name},debug-threads=on") if name else ()),
                # The model is the least: `host` aborts where KVM is PVM.
                *("-machine", f"pc,kernel-irqchip={'split' if spins else 'on'}"),
                *("-accel", "kvm", "-cpu", "qemu64", "-smp", str(cpus)),
                *("-m", "16", "-nodefaults", "-display", "none"),
                *("-no-user-config", "-serial", f"file:{self._serial}"),
                *self._sector(spins, disk),
                *more,
            ]
            self.process = None
            stack.callback(self._kill)
            for attempt in range(1, self.ATTEMPTS + 1):
                started = time.monotonic()
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    preexec_fn=prepare,
                )
                self.pid = self.process.pid
                if self._is_up():
                    break
                self._kill()
                if attempt == self.ATTEMPTS:
                    raise AssertionError(
                        f"expected within {self.PATIENCE:g} s that the guest prints {LINE!r};"
                        f" it printed {self.serial()[-500:]!r}"
                    )
            self.seconds = time.monotonic() - started
            self._stack = stack.pop_all()

    def _sector(self, spins, disk):
        file = disk or self._directory / "disk"
        with open(file, "wb") as written:
            # A whole page: nothing has to be read for it.
            written.write(_boot_sector(spins, self._tick_us).ljust(4096, b"\0"))
            written.flush()
            os.fsync(written.fileno())
        cache = ",cache=none" if disk else ""
        return ("-drive", f"file={file},format=raw,if=ide,readonly=off{cache}")

    def _is_up(self):
        """True when it has said so, False if that takes too long."""
        deadline = time.monotonic() + self.PATIENCE
        while LINE not in self.serial():
            if self.process.poll() is not None:
                self._log.seek(0)
                code, said = self.process.returncode, self._log.read()
                raise AssertionError(f"expected QEMU to run, exit code {code}: {said!r}")
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def serial(self):
        """What the guest has printed."""
        with contextlib.suppress(FileNotFoundError):
            return self._serial.read_text(errors="replace")
        return ""

    def threads(self):
        """{tid: name}"""
        return threads(self.pid)

    def vcpus(self):
        """The tids of the vCPUs, in their order."""
        return vcpu_threads(self.pid)

    # What waiters_live.measure() asks of a workload. A guest that does not run is stopped by SIGSTOP.

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        live.until(self._stopped, "all threads of the guest stand still")

    def _stopped(self):
        tasks = pathlib.Path(f"/proc/{self.pid}/task").iterdir()
        return all((t / "stat").read_text().rsplit(")", 1)[1].split()[0] in "TX" for t in tasks)

    def begin(self):
        self.before = accounts(self.pid)
        self.process.send_signal(signal.SIGCONT)

    def ask_to_rest(self):
        self.process.send_signal(signal.SIGSTOP)

    def rest(self):
        live.until(self._stopped, "all threads of the guest stand still")
        self.run_delay, self.slices = account(self.pid, self.before)

    def descriptors(self):
        """{descriptor: what it refers to}"""
        found = {}
        for entry in pathlib.Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found[int(entry.name)] = os.readlink(entry)
        return found

    def _kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self):
        self._stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
