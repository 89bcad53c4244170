# SPDX-License-Identifier: GPL-2.0-only
"""What the live tests share: running vtrace, cgroups, processes, private mounts."""

import collections
import contextlib
import ctypes
import errno
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VTRACE = os.path.abspath(os.environ.get("VTRACE", ROOT / "build" / "vtrace"))
SCHEMA = ROOT / "tests" / "fixtures" / "vtrace-1.schema.json"

# Generous: the machine may be busy. It is a limit, never a time that passes.
PATIENCE = 40.0

# In the lab every instruction takes longer: what times itself is less exact there.
EMULATED = pathlib.Path("/run/lab/name").exists()
# Why tests of how bad something is do not run there.
TOO_SLOW = "how bad a bottleneck is depends on speed, which emulated CPUs do not have"

NOBODY = 65534
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
_libc = ctypes.CDLL(None, use_errno=True)


def until(condition, what, seconds=PATIENCE, every=0.01):
    """Waits for the condition and returns its value; fails, naming what, after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"expected within {seconds:g} s: {what}")
        time.sleep(every)


# ---- vtrace ----


def command(*arguments, binary=None):
    return [os.fsencode(binary or VTRACE), *(os.fsencode(str_(a)) for a in arguments)]


def str_(value):
    return value if isinstance(value, (str, bytes)) else str(value)


Result = collections.namedtuple("Result", "code out err raw_out raw_err")


def run(*arguments, prefix=(), binary=None, timeout=PATIENCE, **options):
    """Runs vtrace to its end. `prefix` is put in front of the command line."""
    options.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run(
        [*prefix, *command(*arguments, binary=binary)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=timeout,
        **options,
    )
    out = done.stdout or b""
    return Result(
        done.returncode,
        out.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
        out,
        done.stderr,
    )


def recorded_intervals(file):
    """How many a recording has by now; 0 if it cannot be read yet."""
    result = run("report", file, "--format", "json")
    return json.loads(result.out)["recording"]["intervals"] if result.code == 0 else 0


def check_failure(test, result, code, *mentions):
    """One line on stderr that mentions all of these, nothing on stdout, and this exit code."""
    about = f"exit {result.code}, stdout {result.out!r}, stderr {result.err!r}"
    test.assertEqual(result.code, code, f"expected exit code {code}: {about}")
    test.assertEqual(result.out, "", f"expected nothing on stdout: {about}")
    check_one_line(test, result.err)
    for mention in mentions:
        test.assertIn(mention, result.err, f"expected the error to mention {mention!r}: {about}")


def check_one_line(test, err):
    test.assertTrue(
        err.startswith("vtrace: ") and err.endswith("\n") and err.count("\n") == 1,
        f"expected exactly one line that starts with `vtrace: `, got {err!r}",
    )


class Tracer:
    """A running vtrace whose lines are read as they come.

    With JSON and an interval, wait_report() returns when a report is there: whatever happens after
    that is inside a later window."""

    def __init__(self, *arguments, prefix=(), binary=None):
        self.process = subprocess.Popen(
            [*prefix, *command(*arguments, binary=binary)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pid = self.process.pid
        self.lines = []
        self.err = b""
        self._arrived = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read_out, daemon=True),
            threading.Thread(target=self._read_err, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_out(self):
        for line in self.process.stdout:
            with self._arrived:
                self.lines.append(line)
                self._arrived.notify_all()

    def _read_err(self):
        self.err = self.process.stderr.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self._finish()

    def _finish(self):
        self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        self.process.stdout.close()
        self.process.stderr.close()

    def wait_line(self, wanted, what, seconds=PATIENCE):
        """Waits for a line for which `wanted` is true; returns how many lines there were then."""
        deadline = time.monotonic() + seconds
        seen = 0
        with self._arrived:
            while True:
                for line in self.lines[seen:]:
                    seen += 1
                    if wanted(line):
                        return seen
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and seen == len(self.lines)):
                    raise AssertionError(
                        f"expected within {seconds:g} s from vtrace: {what}; got {seen} lines, "
                        f"exit code {self.process.poll()}, stderr {self.err!r}"
                    )
                self._arrived.wait(min(left, 0.1))

    def wait_report(self, number=1):
        """Waits until `number` JSON reports are there."""
        count = iter(range(1, number + 1))

        def wanted(line):
            return b'"rows"' in line and next(count) == number

        return self.wait_line(wanted, f"{number} reports")

    def wait_attached(self):
        """Waits until all programs are attached (the two iterators are the last)."""
        until(
            lambda: self.process.poll() is not None
            or sum("link_type:\titer" in text for text in fdinfo(self.pid)) >= 2,
            "vtrace has attached its programs",
        )
        if self.process.poll() is not None:
            self._finish()
            raise AssertionError(f"expected vtrace to run, got {self.err!r}")

    def wait_poll(self):
        """Waits until vtrace, which polls ten times a second, has polled from start to end."""
        start = sleeps(self.pid)
        until(lambda: sleeps(self.pid) >= start + 2, "vtrace polls")

    def stop(self, number=signal.SIGINT, seconds=PATIENCE):
        """Signals it and returns its exit code."""
        self.process.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds=PATIENCE):
        self.process.wait(seconds)
        self._finish()
        return self.process.returncode

    def documents(self, first=0):
        """The JSON documents from the line number `first` on."""
        return [json.loads(line) for line in self.lines[first:]]

    def reports(self, first=0):
        return [d for d in self.documents(first) if "rows" in d]

    def events(self, first=0):
        return [d for d in self.documents(first) if "event" in d]


def sleeps(pid):
    """How often the main thread went to sleep."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"(?m)^voluntary_ctxt_switches:\s+(\d+)$", status).group(1))


def fdinfo(pid):
    """The texts of /proc/PID/fdinfo."""
    texts = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fdinfo"):
            with contextlib.suppress(OSError):
                texts.append(pathlib.Path(entry.path).read_text())
    return texts


def bpf_ids(pid):
    """The BPF objects that a process holds: {"prog": {ids}, "map": …, "link": …}."""
    ids = {"prog": set(), "map": set(), "link": set()}
    for text in fdinfo(pid):
        for kind, number in re.findall(r"^(prog|map|link)_id:\s+(\d+)$", text, re.MULTILINE):
            ids[kind].add(int(number))
    return ids


def bpf_ids_on_host():
    ids = {}
    for kind in ("prog", "map", "link"):
        done = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, check=False)
        ids[kind] = {int(i) for i in re.findall(rb'"id":(\d+)', done.stdout)}
    return ids


@contextlib.contextmanager
def binary_copy(name="vtrace"):
    """A copy of vtrace that every user may run, wherever the repository lies."""
    directory = tempfile.mkdtemp(prefix="vtrace-test-")
    try:
        os.chmod(directory, 0o755)
        copy = os.path.join(directory, name)
        shutil.copyfile(VTRACE, copy)
        os.chmod(copy, 0o755)
        yield copy
    finally:
        shutil.rmtree(directory)


# ---- figures ----


def row_of(report, path):
    """The row of a cgroup path (or of a kind) in a report, or None."""
    for row in report["rows"]:
        if path in (row["entity"]["cgroup"], row["entity"]["kind"]):
            return row
    return None


def total(reports, path, key="count"):
    """Sum of a figure of one cgroup (or of the kind `host` or `other`) over reports."""
    rows = (row_of(report, path) for report in reports)
    return sum(row["metrics"]["wait"][key] for row in rows if row)


def losses(reports, key):
    return sum(report["loss"][key] for report in reports)


def schedstat(pid):
    """(ns on a CPU, ns waited, times given a CPU) of the main thread."""
    return tuple(int(n) for n in pathlib.Path(f"/proc/{pid}/schedstat").read_text().split())


def state(pid):
    """The letter of /proc/PID/stat; X if it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[0].decode()
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def on_any_kernel(test):
    """Marks a test, or a class of them, that says nothing about a kernel: the lab runs it on its first and
    its last one only."""
    test.on_any_kernel = True
    return test


class TestCase(unittest.TestCase):
    """A test whose contexts end with it: enter() takes one."""

    def disturbed(self):
        """True if what was measured last cannot be held against exact figures: `measured` does it again."""
        return False

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def enter(self, context):
        return self.stack.enter_context(context)


# ---- what the machine does to a measurement ----


class Stolen:
    """ns that the hypervisor above took from each CPU in this context, by /proc/stat (the 8th figure of a
    line `cpuN`): CPU time that no task and no tool of this host can have seen spent."""

    TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        self._before = self._now()
        return self

    def __exit__(self, *_):
        self._end = self._now()

    @staticmethod
    def _now():
        lines = pathlib.Path("/proc/stat").read_text().splitlines()
        fields = [line.split() for line in lines if re.match(r"cpu\d", line)]
        return {int(f[0].removeprefix("cpu")): int(f[8]) for f in fields}

    def ns(self, *cpus):
        """Of these CPUs (all by default), no less than it was. 0 says that there was none at all."""
        ticks = [self._end[cpu] - self._before[cpu] for cpu in cpus or self._end]
        return sum((n + 1) * self.TICK for n in ticks if n)


ATTEMPTS = 3


def measured(test):
    """A test that measures time: where the hypervisor took some meanwhile, what failed is measured again.

    Each attempt shows. Without steal a failure is one at once; emulated, what the host takes shows nowhere."""

    @functools.wraps(test)
    def attempts(self):
        for number in range(1, ATTEMPTS + 1):
            with Stolen() as stolen:
                failure = _failure_of(test, self)
            if failure is None:
                return
            lost = stolen.ns()
            print(f"    attempt {number}, {lost / 1e6:.0f} ms stolen: {failure}", flush=True)
            if number == ATTEMPTS or not (lost or EMULATED or self.disturbed()):
                raise failure
            self.doCleanups()
            self.setUp()

    return attempts


def _failure_of(test, case):
    try:
        test(case)
    except case.failureException as failure:
        return failure
    return None


# ---- cgroups ----

Hierarchy = collections.namedtuple("Hierarchy", "mount v1")


def hierarchy(controller="cpu"):
    """The hierarchy that vtrace charges to: v1's controller of that name where mounted, else v2."""
    v2 = None
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        kind, _, options = fields[fields.index("-") + 1 :][:3]
        if kind == "cgroup" and controller in options.split(","):
            return Hierarchy(fields[4], True)
        if kind == "cgroup2":
            v2 = v2 or Hierarchy(fields[4], False)
    if v2 is None:
        raise AssertionError("expected a mounted cgroup hierarchy")
    return v2


_numbers = iter(range(1, 1 << 30))


def new_name(suffix=b""):
    return b"vtrace-test-%d-%d%s" % (os.getpid(), next(_numbers), os.fsencode(suffix))


class Cgroup:
    """A cgroup made now and removed by remove(), with what is in it."""

    controller = "cpu"

    def __init__(self, suffix="", parent=None):
        found = hierarchy(self.controller)
        base = os.fsencode(found.mount) if parent is None else parent.directory
        self.v1 = found.v1
        self.directory = os.path.join(base, new_name(suffix))
        self.mount = os.fsencode(found.mount)
        os.mkdir(self.directory)

    @property
    def path(self):
        """As vtrace names it."""
        return os.fsdecode(self.directory[len(self.mount) :])

    @property
    def id(self):
        return os.stat(self.directory).st_ino

    def add(self, pid=0):
        """Moves a process (the caller by default) into it."""
        with open(self.directory + b"/cgroup.procs", "wb", buffering=0) as procs:
            procs.write(b"%d" % pid)

    def limit(self, quota_us, period_us):
        """Sets the CPU quota."""
        if self.v1:
            self._write(b"cpu.cfs_period_us", period_us)
            self._write(b"cpu.cfs_quota_us", quota_us)
            return
        if not os.path.exists(self.directory + b"/cpu.max"):
            self._write(b"../cgroup.subtree_control", "+cpu")
        self._write(b"cpu.max", f"{quota_us} {period_us}")

    def unlimit(self):
        """Takes the CPU quota back: what waits for it would end late."""
        if self.v1:
            self._write(b"cpu.cfs_quota_us", -1)
        else:
            self._write(b"cpu.max", "max")

    def weigh(self, weight):
        """Sets its share of CPU time, in multiples of the usual one."""
        if self.v1:
            self._write(b"cpu.shares", 1024 * weight)
            return
        if not os.path.exists(self.directory + b"/cpu.weight"):
            self._write(b"../cgroup.subtree_control", "+cpu")
        self._write(b"cpu.weight", 100 * weight)

    def _write(self, name, value):
        with open(os.path.join(self.directory, name), "wb", buffering=0) as file:
            file.write(str(value).encode())

    def remove(self):
        self.remove_directory(self.directory)

    @staticmethod
    def remove_directory(directory):
        """It stays busy for a moment after its last process has gone."""

        def removed():
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                return True
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                return False
            return True

        until(removed, f"cgroup {directory!r} can be removed", every=0.002)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


class CgroupOf:
    """The cgroup that a process is in, as the hierarchy that vtrace charges to has it."""

    def __init__(self, pid):
        found = hierarchy()
        for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if ("cpu" in controllers.split(",")) if found.v1 else not controllers:
                self.path = path
        self.directory = os.fsencode(found.mount + self.path)

    add = Cgroup.add


# ---- processes ----


class Child:
    """A forked process that runs `work(child)` and is stopped by its pid.

    `tell()` and `hear()` send and receive one byte, in either process: the order of things is
    agreed on, not hoped for."""

    def __init__(self, work, cgroup=None, cpu=None, name=None):
        to_child, self._tell = os.pipe()
        self._hear, from_child = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._hear, self._tell = to_child, from_child
            self._live(work, cgroup, cpu, name)
        os.close(to_child)
        os.close(from_child)
        self._alive = True
        self.hear()

    def _live(self, work, cgroup, cpu, name):
        try:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if name is not None:
                _libc.prctl(PR_SET_NAME, ctypes.c_char_p(name))
            if cgroup is not None:
                cgroup.add()
            # After the move: before 6.2 that gives a task all CPUs of the cgroup's cpuset.
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})
            self.tell()
            work(self)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def tell(self):
        os.write(self._tell, b".")

    def hear(self):
        if os.read(self._hear, 1) != b".":
            # In the parent: the child died. In the child: the parent did.
            raise AssertionError("expected the other process to be there")

    def ask(self):
        """One round of a child that hears, works and tells."""
        self.tell()
        self.hear()

    def stop(self):
        if self._alive:
            self._alive = False
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self._tell)
            os.close(self._hear)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def spin(_child):
    while True:
        pass


def sleep_for_ever(_child):
    while True:
        signal.pause()


def naps(count, seconds=0.001):
    """Work for a Child: at each ask(), `count` short sleeps, nearly all of which end with a wait.

    (One that is over before the task has left its CPU does not: schedstat() counts the true ones.)"""

    def work(child):
        while True:
            child.hear()
            for _ in range(count):
                time.sleep(seconds)
            child.tell()

    return work


def yields(_child):
    """Gives up the CPU all the time: with company on it, a wait for each turn."""
    while True:
        os.sched_yield()


def last_cpu():
    return max(os.sched_getaffinity(0))


# ---- mounts and privileges ----


def private_mounts(script):
    """A prefix for run(): a shell script in a mount namespace of its own, then the command."""
    return ["unshare", "-m", "--propagation", "private", "sh", "-ec", script + '\nexec "$@"', "sh"]


def counts_locked_memory():
    """True if the kernel counts BPF memory against RLIMIT_MEMLOCK (before 5.11)."""
    return kernel() < (5, 11)


def kernel():
    """The running kernel's version: (6, 12)."""
    return tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())


def as_nobody(*capabilities):
    """A prefix for run(): an ordinary user with only these capabilities (in small letters)."""
    unlimited = ["prlimit", "--memlock=unlimited"] if counts_locked_memory() else []
    chosen = ",".join(["-all", *("+" + c for c in capabilities)])
    ids = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return [*unlimited, "setpriv", *ids, f"--inh-caps={chosen}", f"--ambient-caps={chosen}"]
