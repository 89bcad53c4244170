# SPDX-License-Identifier: GPL-2.0-only
"""What everything in the bench shares: how processes are stopped, and when it gives up."""

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import time

_libc = ctypes.CDLL(None, use_errno=True)

STOP_TIMEOUT = 30  # seconds; a tracer of 5,000 cgroups prints its report first


class NotMeasured(Exception):
    """Something could not be measured; the text says what and why."""


def stop(process: subprocess.Popen) -> None:
    """Ends a process of ours. By SIGTERM, as a shell's background jobs ignore SIGINT."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


@contextlib.contextmanager
def own_network(load: str):
    """Runs Python in a network namespace of its own, from when it says that it is ready; it ends with its input."""
    command = ["unshare", "-n", sys.executable, "-c", load]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout.readline() != b"ready\n":
                raise NotMeasured("no network namespace for the load")
            yield
        finally:
            stop(process)


def context_switches() -> int:
    with open("/proc/stat") as stat:
        return next(int(line.split()[1]) for line in stat if line.startswith("ctxt "))


def idle_share(seconds: float) -> float:
    """Of all CPUs' time."""

    def ticks() -> list[int]:
        with open("/proc/stat") as stat:
            return [int(field) for field in stat.readline().split()[1:9]]

    before = ticks()
    time.sleep(seconds)
    spent = [new - old for old, new in zip(before, ticks())]
    idle_and_iowait = spent[3] + spent[4]
    return idle_and_iowait / sum(spent)


def look_at_once() -> None:
    """Lets the calling thread not wait for the CPUs that the loads keep busy: it only looks at them.

    What it starts is scheduled as usual.
    """
    with contextlib.suppress(OSError):  # not everywhere allowed; then figures vary more
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(1))


@functools.cache
def private_mounts() -> None:
    """A mount namespace of our own: nobody else sees what we mount."""
    clone_newns, ms_rec, ms_private = 0x20000, 0x4000, 0x40000
    if _libc.unshare(clone_newns):
        _fail("a mount namespace")
    if _libc.mount(None, b"/", None, ctypes.c_ulong(ms_rec | ms_private), None):
        _fail("private mounts")


def mount(kind: str, place: str) -> None:
    if _libc.mount(kind.encode(), place.encode(), kind.encode(), ctypes.c_ulong(0), None):
        _fail(f"mounting {kind} at {place}")


def unmount(place: str) -> None:
    _libc.umount2(place.encode(), 0)


def _fail(what: str) -> None:
    error = ctypes.get_errno()
    raise OSError(error, f"{what}: {os.strerror(error)}")


def private_tracefs() -> None:
    """bpftrace needs tracefs."""
    if not os.path.exists("/sys/kernel/tracing/events"):
        private_mounts()
        mount("tracefs", "/sys/kernel/tracing")


def exit_on_signals() -> None:
    """Lets every `with` block end on SIGTERM and SIGHUP, as it does on Ctrl-C."""

    def leave(number, _frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)
