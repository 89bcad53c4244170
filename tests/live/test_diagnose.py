#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace diagnose` on known bottlenecks: the right cause, victim and culprit come first, and a healthy host has none.

What is random (names, CPUs, intensities) is so by a seed that is printed: VTRACE_SEED=N does the same again."""

import os
import random
import unittest

import engines_live as engines
import vtrace_live as live
from diagnosis_live import LEVELS, QUIET, Scene, diagnose, missed, need_diagnose, said
from owner_live import OwnerOf
from scenes_live import PAIRS, play

STORAGE = "/var/lib/containers/storage"  # where podman has it, and vtrace looks for it
SEED = int(os.environ.get("VTRACE_SEED", random.randrange(1 << 32)))


def setUpModule():
    need_diagnose()


class DiagnoseTest(live.TestCase):
    emulated = ()  # what is found where CPUs are emulated, too
    others = 0.0
    lasted = True

    def setUp(self):
        super().setUp()
        if live.EMULATED and self._testMethodName not in self.emulated:
            self.skipTest(live.TOO_SLOW)

    def disturbed(self):
        return self.others > QUIET or not self.lasted

    def seed(self):
        """Of this test."""
        return f"{SEED}/{self.id().split('.')[-1]}"

    def check(self, scene, prefix=()):
        found = diagnose(scene, prefix=prefix)
        self.others, self.lasted = found.others, scene.lasts()
        print(f"\n    VTRACE_SEED={SEED}, {LEVELS[scene.level]}, others had {100 * found.others:.1f} % of the CPUs"
              + "".join(f"\n    {said(finding)}" for finding in found.findings[:4]), flush=True)
        if problem := missed(scene.expected, found.findings):
            self.fail(problem)

    def found(self, *names):
        with Scene(self.seed()) as scene:
            play(scene, *names)
            self.check(scene)


class Cpu(DiagnoseTest):
    @live.measured
    def test_throttled(self):
        self.found("cpu-throttled")

    @live.measured
    def test_neighbour(self):
        self.found("cpu-neighbour")

    @live.measured
    def test_neighbour_container(self):
        """By their names, which the engine knows."""
        with Scene(self.seed()) as scene:
            podman = self.enter(engines.Podman())
            cpu = scene.cpu()
            names = scene.new_name(), scene.new_name()
            for name, weight in zip(names, (1, scene.one_of(2, 4, 10))):
                _, pid = podman.run(name)
                owner = scene.take_in(OwnerOf(pid))
                owner.cpu_weight(weight)
                scene.spin(owner, cpu)
            scene.expect("cpu-neighbour", *names)
            scene.settle()
            os.makedirs(STORAGE, exist_ok=True)
            self.check(scene, live.private_mounts(f"mount --bind {podman.graph} {STORAGE}"))

    @live.measured
    def test_self(self):
        self.found("cpu-self")

    @live.measured
    def test_idle(self):
        self.found("cpu-idle")

    @live.measured
    def test_locks(self):
        self.found("lock-contention")


class Memory(DiagnoseTest):
    emulated = ("test_host",)

    @live.measured
    def test_limit(self):
        self.found("memory-limit")

    @live.measured
    def test_oom(self):
        self.found("memory-oom")

    @live.measured
    def test_host(self):
        self.found("memory-host")


class Disk(DiagnoseTest):
    @live.measured
    def test_limit(self):
        self.found("disk-limit")

    @live.measured
    def test_slow(self):
        self.found("disk-slow")

    @live.measured
    def test_neighbour(self):
        self.found("disk-neighbour")


class Network(DiagnoseTest):
    @live.measured
    def test_retransmits(self):
        self.found("net-retransmits")

    @live.measured
    def test_drops(self):
        self.found("net-drops")

    @live.measured
    def test_queue(self):
        self.found("net-queue")

    @live.measured
    def test_softirqs(self):
        self.found("softirq-starvation")


class Vm(DiagnoseTest):
    emulated = ("test_steal", "test_own_threads", "test_exits", "test_halts", "test_halt_poll", "test_emulated_device")

    @live.measured
    def test_steal(self):
        self.found("vm-steal")

    @live.measured
    def test_own_threads(self):
        self.found("vm-own-threads")

    @live.measured
    def test_exits(self):
        self.found("vm-exits")

    @live.measured
    def test_halts(self):
        self.found("vm-halts")

    @live.measured
    def test_halt_poll(self):
        self.found("vm-halt-poll")

    @live.measured
    def test_emulated_device(self):
        self.found("vm-emulated-device")


class Healthy(DiagnoseTest):
    """Nothing above P3."""

    @live.measured
    def test_idle(self):
        self.found("an idle host")

    @live.measured
    def test_busy(self):
        self.found("all CPUs busy")

    @live.measured
    def test_fast_disk(self):
        self.found("a fast disk at full load")

    @live.measured
    def test_loopback(self):
        self.found("loopback at full speed")

    @live.measured
    def test_idle_vm(self):
        self.found("an idle VM")


class Two(DiagnoseTest):
    @live.measured
    def test_at_once(self):
        """Both are named, one of them first."""
        self.found(*random.Random(SEED).choice(PAIRS))


if __name__ == "__main__":
    unittest.main()
