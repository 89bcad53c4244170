# SPDX-License-Identifier: GPL-2.0-only
"""Bottlenecks of CPU time and of locks, and who has enough of it."""

import fcntl
import os
import pathlib
import re
import tempfile
import threading
import time
import unittest

import vtrace_live as live
from diagnosis_live import CPUS

SLOW_TO_WAKE = 0.25  # of the time that a CPU is wanted: more than the rule's limit


def work_for(seconds):
    """Of CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def throttled(scene):
    """Wants a whole CPU and has a quota for a part of one."""
    victim, cpu = scene.owner(), scene.cpu()
    period = scene.random.choice((20_000, 50_000, 100_000))
    quota = scene.between((0.6, 0.8), (0.3, 0.5), (0.08, 0.2))
    victim.cpu_quota(round(quota * period), period)
    scene.spin(victim, cpu)
    scene.decoy_spinner(cpu)
    scene.expect("cpu-throttled", victim, None, victim)


def neighbour(scene):
    """One who works now and then, and one on its CPU that weighs more and wants all of it."""
    victim, hog, cpu = scene.owner(), scene.owner(), scene.cpu()
    hog.cpu_weight(scene.one_of(2, 4, 10))
    scene.spin(victim, cpu, load=scene.between((30, 50), (60, 80), (100, 100)))
    scene.spin(hog, cpu)
    scene.decoy_spinner(cpu)
    scene.expect("cpu-neighbour", victim, hog)


def self_inflicted(scene):
    """More threads than CPUs, all of one owner: on all of them, or pinned to one."""
    victim, cpu = scene.owner(), scene.random.choice((None, scene.cpu()))
    scene.spin(victim, cpu, count=(len(CPUS) if cpu is None else 1) * scene.one_of(2, 4, 8))
    if cpu is not None:
        scene.decoy_spinner(cpu)
    scene.expect("cpu-self", victim, None, victim)


def need_idle_cpus():
    """Skips where somebody else keeps them awake."""
    before, seconds = idle_seconds(), 0.3
    time.sleep(seconds)
    if len(CPUS) < 2 or any(now - then < 0.7 * seconds for then, now in zip(before, idle_seconds(), strict=True)):
        raise unittest.SkipTest("needs two CPUs that are idle, and wake up")


def idle_seconds():
    """Of each CPU, by /proc/stat."""
    lines = pathlib.Path("/proc/stat").read_text().splitlines()
    return [int(line.split()[4]) / os.sysconf("SC_CLK_TCK") for line in lines if re.match(r"cpu\d", line)]


def waited_share(*children):
    """Of the CPU time that they want, by the kernel's account."""
    seconds = 0.3
    before = [live.schedstat(child.pid) for child in children]
    time.sleep(seconds)
    after = [live.schedstat(child.pid) for child in children]
    ran, waited = (sum(now[n] - then[n] for then, now in zip(before, after, strict=True)) for n in (0, 1))
    return waited / max(1, ran + waited)


def slow_to_wake(scene):
    """Two who wake each other up, on CPUs that sleep in between."""
    need_idle_cpus()
    victim = scene.owner()
    pause = scene.one_of(0.002, 0.0005, 0)
    there, back = os.pipe(), os.pipe()

    def passes(source, target, first):
        def work(_child):
            if first:
                os.write(target, b".")
            while True:
                os.read(source, 1)
                if first and pause:
                    time.sleep(pause)
                os.write(target, b".")

        return work

    one, other = scene.random.sample(CPUS, 2)
    children = (scene.child(victim, passes(back[0], there[1], True), one),
                scene.child(victim, passes(there[0], back[1], False), other))
    for fd in (*there, *back):
        os.close(fd)
    share = waited_share(*children)
    if share < SLOW_TO_WAKE:
        raise unittest.SkipTest(f"idle CPUs wake up at once here: {100 * share:.1f} % of the time that they are wanted")
    scene.expect("cpu-idle", victim, None)


def takes_turns(file, held, free):
    """Work for a Child: it works for so many seconds with the lock, and for so many without."""

    def work(_child):
        fd = os.open(file, os.O_RDWR)  # a lock belongs to who opened it
        while True:
            fcntl.flock(fd, fcntl.LOCK_EX)
            work_for(held)
            fcntl.flock(fd, fcntl.LOCK_UN)
            time.sleep(free)

    return work


def fights_for_the_interpreter(threads):
    """Work for a Child: threads of Python's, of which one runs at a time; the others wait in futex()."""

    def work(_child):
        for _ in range(threads - 1):
            threading.Thread(target=live.spin, args=(None,), daemon=True).start()
        live.spin(None)

    return work


def pool(scene):
    """Threads with nothing to do, which wait for a lock as it were: nobody holds it."""

    def waits(_child):
        given = threading.Condition()

        def worker():
            with given:
                given.wait()

        for _ in range(8):
            threading.Thread(target=worker, daemon=True).start()
        live.sleep_for_ever(_child)

    scene.child(scene.owner(), waits)


def locked(scene):
    """Processes, or threads, of which only one can go on at a time. (Who wants a CPU, too, would wait for one.)"""
    victim = scene.owner()
    if scene.random.random() < 0.5:
        scene.child(victim, fights_for_the_interpreter(scene.one_of(2, 3, 6)))
    else:
        file = scene.enter_context(tempfile.NamedTemporaryFile(prefix="vtrace-test-"))
        held = scene.random.uniform(0.002, 0.008)
        for _ in range(scene.one_of(3, 3, 6)):
            free = held * scene.between((0.8, 1), (0.2, 0.4), (0.0, 0.1))
            scene.child(victim, takes_turns(file.name, held, free))
    pool(scene)
    scene.expect("lock-contention", victim, None, victim)


def idle(scene):
    """Healthy: a pool of threads, and one who wakes up often."""

    def ticks(_child):
        while True:
            time.sleep(0.002)

    pool(scene)
    scene.child(scene.owner(), ticks)


def busy(scene):
    """Healthy: all CPUs are used, and nobody waits for one."""
    for cpu in CPUS:
        scene.spin(scene.owner(), cpu)


BOTTLENECKS = {
    "cpu-throttled": throttled,
    "cpu-neighbour": neighbour,
    "cpu-self": self_inflicted,
    "cpu-idle": slow_to_wake,
    "lock-contention": locked,
}
HEALTHY = {"an idle host": idle, "all CPUs busy": busy}
