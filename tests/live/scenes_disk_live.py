# SPDX-License-Identifier: GPL-2.0-only
"""Bottlenecks of disks and of memory, and a disk that is as busy as it can be."""

import mmap
import os
import pathlib
import random
import re
import time
import unittest

import block_live as block
import vtrace_live as live
from block_live import MIB, LoopDisk, Mounted
from slow_disk_live import SlowDisk
from test_memstall import kswapd_held_up, make_file, swap_on

DECOY_PAUSE = 0.02  # seconds between its reads


def fio(scene, owner, disk, *options):
    """Runs until the scene ends."""
    return scene.start(owner, "fio", "--name=load", f"--filename={disk.path}", "--direct=1", "--time_based",
                       "--runtime=600", "--thread", *options)


def until_used(*disks):
    """fio takes a moment to start."""
    before = [sum(block.diskstats(disk)[:3:2]) for disk in disks]
    live.until(lambda: all(sum(block.diskstats(disk)[:3:2]) > then + 5 for disk, then in zip(disks, before)),
               "the disks are used")


def reads_now_and_then(disk):
    """Work for a Child."""

    def work(_child):
        fd = os.open(disk.path, os.O_RDONLY | os.O_DIRECT)
        with mmap.mmap(-1, 4096) as buffer:
            while True:
                os.preadv(fd, [buffer], 0)
                time.sleep(DECOY_PAUSE)

    return work


def decoy_reader(scene):
    """Somebody who uses another disk, and waits for nobody."""
    scene.child(scene.owner(), reads_now_and_then(scene.enter_context(LoopDisk(8 * MIB))))


def disk_limit(scene):
    """Writes in bursts that its limit lets through in a part of each second, or in all of it."""
    victim, disk = scene.owner(), scene.enter_context(LoopDisk())
    limit = scene.random.randrange(2, 8) * MIB
    share = scene.between((0.25, 0.35), (0.5, 0.7), (2, 3))
    victim.disk_limit(disk, limit)

    def work(_child):
        fd = os.open(disk.path, os.O_WRONLY | os.O_DIRECT)
        size = 64 * 1024
        with mmap.mmap(-1, size) as buffer:
            while True:
                end = time.monotonic() + 1
                for i in range(int(share * limit / size)):
                    os.pwrite(fd, buffer, i * size)
                time.sleep(max(0, end - time.monotonic()))

    scene.child(victim, work)
    decoy_reader(scene)
    scene.expect("disk-limit", victim, None, victim)


def disk_slow(scene):
    """A disk that takes long for each request, for nobody's sake."""
    seconds = scene.between((0.012, 0.016), (0.03, 0.04), (0.08, 0.1))
    victim, disk = scene.owner(), scene.enter_context(SlowDisk(lambda size: seconds))
    fio(scene, victim, disk, "--rw=randread", "--bs=4k", "--ioengine=psync", "--numjobs=2")
    until_used(disk)
    decoy_reader(scene)
    scene.expect("disk-slow", (victim, disk), None, disk)


def disk_neighbour(scene):
    """Small requests, on a disk that serves one after the other and that another has fill its time with large ones."""
    victim, hog = scene.owner(), scene.owner()
    large = scene.between((0.002, 0.003), (0.003, 0.004), (0.005, 0.006))  # seconds that it takes for one
    disk = scene.enter_context(SlowDisk(lambda size: large * size / (64 * 1024)))
    pause = scene.one_of(("--rate_iops=120",), ("--rate_iops=180",), ())
    fio(scene, victim, disk, "--rw=randread", "--bs=4k", "--ioengine=psync", *pause)
    fio(scene, hog, disk, "--rw=" + scene.random.choice(("randread", "randwrite")), "--bs=64k", "--ioengine=libaio",
        f"--iodepth={scene.one_of(2, 4, 8)}")
    until_used(disk)
    decoy_reader(scene)
    scene.expect("disk-neighbour", victim, hog)


def memory_limit(scene):
    """Uses more memory than its limit, any page of it: the rest is in a swap that is its own."""
    victim = scene.owner()
    limit = scene.random.randrange(32, 48)
    victim.memory_limit(limit * MIB)
    scene.enter_context(swap_on(scene.enter_context(LoopDisk(192 * MIB))))
    pages = round(limit * scene.between((1.1, 1.2), (1.4, 1.6), (2, 3)) * MIB / mmap.PAGESIZE)
    seed = scene.random.random()

    def work(_child):
        drawn = random.Random(seed)
        memory = mmap.mmap(-1, pages * mmap.PAGESIZE)
        for page in range(pages):
            memory[page * mmap.PAGESIZE : page * mmap.PAGESIZE + 8] = os.urandom(8)
        while True:
            memory[drawn.randrange(pages) * mmap.PAGESIZE] = 1

    scene.must_last(scene.child(victim, work))  # v1 kills it where all pages are on their way to the swap
    decoy_reader(scene)
    scene.expect("memory-limit", victim, None, victim)


def memory_oom(scene):
    """Wants more memory than its limit, time and again: stress-ng starts anew what is killed."""
    victim = scene.owner()
    limit = scene.random.randrange(32, 64)
    victim.memory_limit(limit * MIB)
    size = round(limit * scene.between((1.2, 1.5), (2, 3), (4, 6)))
    scene.start(victim, "stress-ng", "--quiet", "--vm", 1, "--vm-bytes", f"{size}M", "--vm-keep", "--vm-populate")
    decoy_reader(scene)
    scene.expect("memory-oom", victim, None, victim)


def memory_host(scene):
    """The host has hardly any memory left, and whoever wants some has to free it: in the lab, whose host is small."""
    if not live.EMULATED:
        raise unittest.SkipTest("the host's memory is not the test's to take")
    if live.kernel() >= (6, 12):  # 2.0 and 4.4 % of the time
        raise unittest.SkipTest("this kernel's direct reclaim is too fast to be a bottleneck here")
    victim = scene.owner()
    path = make_file(scene.enter_context(Mounted(scene.enter_context(LoopDisk(400 * MIB)))).directory, 320 * MIB)
    reserve = pathlib.Path("/proc/sys/vm/min_free_kbytes")
    free = int(re.search(r"MemFree: +(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])
    pause = scene.between((0.002, 0.004), (0.0005, 0.001), (0, 0))
    held, cpu = sorted(os.sched_getaffinity(0))[:2]

    def work(_child):
        while True:
            with open(path, "rb", buffering=0) as file:
                while file.read(MIB):
                    time.sleep(pause)

    scene.enter_context(kswapd_held_up(held))
    scene.child(victim, work, cpu)
    scene.set_host(reserve, free - 100 * 1024)
    scene.expect("memory-host", (victim, "host"), None, victim)


def fast_disk(scene):
    """Healthy: as many requests as the disk can do, all of one owner."""
    disk = scene.enter_context(block.fast_disk())
    fio(scene, scene.owner(), disk, "--rw=randread", "--bs=4k", "--ioengine=libaio", "--iodepth=16")
    until_used(disk)


BOTTLENECKS = {
    "disk-limit": disk_limit,
    "disk-slow": disk_slow,
    "disk-neighbour": disk_neighbour,
    "memory-limit": memory_limit,
    "memory-oom": memory_oom,
    "memory-host": memory_host,
}
HEALTHY = {"a fast disk at full load": fast_disk}
