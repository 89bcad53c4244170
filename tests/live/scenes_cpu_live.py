# SPDX-License-Identifier: GPL-2.0-only
"""Bottlenecks of CPU time and of locks, and who has enough of it."""

import fcntl
import os
import tempfile
import threading
import time
import unittest

import vtrace_live as live
from diagnosis_live import CPUS


def need_two_cpus():
    if len(CPUS) < 2:
        raise unittest.SkipTest("needs two CPUs")


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
    """More threads than CPUs, all of one owner."""
    victim = scene.owner()
    scene.spin(victim, count=len(CPUS) + scene.one_of(1, 3, 10))
    scene.expect("cpu-self", victim, None, victim)


def beside_an_idle_cpu(scene):
    """Threads that are pinned to one CPU, while another has nothing to do."""
    need_two_cpus()
    victim = scene.owner()
    scene.spin(victim, scene.cpu(), count=scene.one_of(2, 3, 8))
    scene.expect("cpu-idle", victim, None, victim)


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


def locked(scene):
    """Processes of which only one can go on at a time."""
    victim, cpu = scene.owner(), scene.cpu()
    file = scene.enter_context(tempfile.NamedTemporaryFile(prefix="vtrace-test-"))
    held = scene.random.uniform(0.002, 0.01)
    for _ in range(scene.one_of(2, 3, 6)):
        scene.child(victim, takes_turns(file.name, held, held * scene.between((1.5, 2), (0.5, 1), (0, 0.1))))
    scene.decoy_spinner(cpu)
    scene.expect("lock-contention", victim, None, victim)


def idle(scene):
    """Healthy: a pool of threads with nothing to do, which wait for a lock as it were, and one who wakes up often."""
    pool, ticking = scene.owner(), scene.owner()

    def waits(_child):
        given = threading.Condition()

        def worker():
            with given:
                given.wait()

        for _ in range(8):
            threading.Thread(target=worker, daemon=True).start()
        live.sleep_for_ever(_child)

    def ticks(_child):
        while True:
            time.sleep(0.002)

    scene.child(pool, waits)
    scene.child(ticking, ticks)


def busy(scene):
    """Healthy: all CPUs are used, and nobody waits for one."""
    for cpu in CPUS:
        scene.spin(scene.owner(), cpu)


BOTTLENECKS = {
    "cpu-throttled": throttled,
    "cpu-neighbour": neighbour,
    "cpu-self": self_inflicted,
    "cpu-idle": beside_an_idle_cpu,
    "lock-contention": locked,
}
HEALTHY = {"an idle host": idle, "all CPUs busy": busy}
