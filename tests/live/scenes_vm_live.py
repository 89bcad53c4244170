# SPDX-License-Identifier: GPL-2.0-only
"""Bottlenecks of VMs, and one that is idle."""

import json
import pathlib
import socket
import tempfile
import threading
import time
import unittest

import kvm_live as kvm
import vtrace_live as live
from block_live import MIB

HALT_POLL = pathlib.Path("/sys/module/kvm/parameters/halt_poll_ns")


def need_exits():
    """Skips where KVM does not tell of exits, as PVM does not."""
    kvm.need_kvm()
    with kvm.detached("tracefs") as tracefs:
        if kvm.exit_codes() is None or not (tracefs / "events/kvm/kvm_exit").is_dir():
            raise unittest.SkipTest(f"KVM does not tell of exits here ({kvm.flavour()})")


def qemu(scene, *more, cpu=None, **options):
    """A guest of an owner's with a random name: (name, guest)."""
    kvm.need_kvm()
    name = f"guest-{scene.random.randrange(1 << 16):04x}"
    return name, scene.enter_context(kvm.QemuGuest(name, *more, cgroup=scene.owner(), cpu=cpu, **options))


def rounds(scene, guest):
    """The guest does the same again and again, until the scene ends."""
    done = threading.Event()

    def play():
        try:
            while not done.is_set():
                guest.round()
        except (AssertionError, OSError, ValueError):
            if not done.is_set():
                raise

    thread = threading.Thread(target=play, daemon=True)
    thread.start()

    def end():
        done.set()
        thread.join(live.PATIENCE)

    scene.callback(end)


def tiny(scene, pio, cpuids=0, halts=0, **options):
    """A guest of an owner's that does this again and again. It has no name: it is called by its process."""
    owner = scene.owner()
    guest = scene.enter_context(kvm.TinyGuest(pio, cpuids, halts, cgroup=owner, **options))
    rounds(scene, guest)
    return owner, guest


def called(owner, guest):
    """All that a VM without a name may be called."""
    return owner.name, str(guest.pid), f"vm-{guest.pid}", pathlib.Path(f"/proc/{guest.pid}/comm").read_text().strip()


def steal(scene):
    """A guest that computes, and somebody on its CPU that weighs more: else who works now and then waits for the
    guest as long as that for him."""
    cpu = scene.cpu()
    name, _ = qemu(scene, cpu=cpu, spins=True)
    hog = scene.owner()
    hog.cpu_weight(scene.one_of(10, 3, 10))
    scene.spin(hog, cpu, load=scene.between((40, 60), (100, 100), (100, 100)))
    scene.decoy_spinner(cpu)
    scene.expect("vm-steal", name, hog)


class Monitor:
    """Asks a VMM for copies of the guest's memory, which its main thread makes, for a share of the time."""

    def __init__(self, directory, share):
        self.options = ("-qmp", f"unix:{directory}/qmp,server=on,wait=off")
        self._directory = directory
        self._share = share
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)

    def _play(self):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"{self._directory}/qmp")
            with connection.makefile("rw") as lines:
                lines.readline()  # its greeting
                self._ask(lines, "qmp_capabilities")
                while not self._done.is_set():
                    start = time.monotonic()
                    self._ask(lines, "pmemsave", val=0, size=16 * MIB, filename=f"{self._directory}/memory")
                    self._done.wait((time.monotonic() - start) * (1 / self._share - 1))

    @staticmethod
    def _ask(lines, command, **arguments):
        lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        lines.flush()
        while "event" in json.loads(lines.readline()):
            pass

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join(live.PATIENCE)


def own_threads(scene):
    """A guest that computes, on one CPU with its VMM, which is asked for copies of its memory."""
    if live.EMULATED:  # where each tick of the host's takes a tenth of a millisecond of the guest's time
        for rule in ("vm-exits", "vm-emulated-device"):
            scene.limit(rule, 0.4, 0.6, 0.8, 0.9)
    cpu = scene.cpu()
    directory = scene.enter_context(tempfile.TemporaryDirectory(prefix="vtrace-test-", dir="/dev/shm"))
    least = (0.5, 0.6) if live.EMULATED else (0.3, 0.4)  # emulated, much of it is not copying
    monitor = Monitor(directory, scene.between(least, (0.6, 0.7), (1, 1)))
    name, _ = qemu(scene, *monitor.options, cpu=cpu, spins=True)
    scene.enter_context(monitor)
    scene.decoy_spinner(cpu)
    scene.expect("vm-own-threads", name, name)


def exits(scene):
    """A guest that does little but what ends in KVM."""
    need_exits()
    spins = scene.one_of(3, 1, 0)  # ms for each that the exits take, about
    owner, guest = tiny(scene, 0, cpuids=400, spin_ms=spins)
    scene.expect("vm-exits", called(owner, guest), None)


def halts(scene):
    """A guest that halts for a moment, time and again, as often as KVM lets a PC's timer interrupt: 5,000 times a
    second, which is where the rule's own limits begin."""
    need_exits()
    scene.limit("vm-halts", 300, 500, 700, 1000)
    name, _ = qemu(scene, tick_us=scene.one_of(280, 240, 200))
    scene.expect("vm-halts", name, None)


def halt_poll(scene):
    """A guest whose halts are longer than KVM polls. It would soon poll for longer, or not at all; a factor of 1
    lets it stay where it begins."""
    need_exits()
    if not HALT_POLL.exists():
        raise unittest.SkipTest("KVM polls for nothing here: no halt_poll_ns")
    halt_us = 4000
    share = scene.between((0.3, 0.4), (0.5, 0.6), (0.7, 0.8))
    scene.set_host(HALT_POLL, 5 * halt_us * 1000)
    scene.set_host(HALT_POLL.with_name("halt_poll_ns_grow"), 1)
    scene.set_host(HALT_POLL.with_name("halt_poll_ns_grow_start"), round(share * halt_us * 1000))
    name, _ = qemu(scene, tick_us=halt_us)
    scene.expect("vm-halt-poll", name, None)


def emulated_device(scene):
    """A guest that talks to a device that its VMM emulates."""
    need_exits()
    owner, guest = tiny(scene, scene.one_of(100, 300, 2000), spin_ms=scene.one_of(10, 10, 0))
    scene.expect("vm-emulated-device", called(owner, guest), None)


def idle(scene):
    """Healthy: a guest that wakes up 18 times a second."""
    qemu(scene)


BOTTLENECKS = {
    "vm-steal": steal,
    "vm-own-threads": own_threads,
    "vm-exits": exits,
    "vm-halts": halts,
    "vm-halt-poll": halt_poll,
    "vm-emulated-device": emulated_device,
}
HEALTHY = {"an idle VM": idle}
