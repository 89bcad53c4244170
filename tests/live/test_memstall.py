#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace memstall` against the kernel's counters of a cgroup that runs into its limit."""

import mmap
import os
import pathlib
import re
import time
import unittest

import vtrace_live as live

MIB = 1 << 20


class MemoryCgroup(live.Cgroup):
    """In the hierarchy of the memory controller, beside one in that of CPU time, which figures are charged to."""

    controller = "memory"

    def __init__(self, limit):
        super().__init__()
        if not self.v1:
            self._write(b"../cgroup.subtree_control", "+memory")
        self._write(b"memory.limit_in_bytes" if self.v1 else b"memory.max", limit)

    def read(self, name):
        return (pathlib.Path(os.fsdecode(self.directory)) / name).read_text()

    def reclaimed_pages(self):
        """By its own limit, as v2 counts it; v1 does not."""
        found = re.search(r"(?m)^pgsteal_direct (\d+)$", self.read("memory.stat"))
        return int(found[1]) if found else None

    def stalled_us(self):
        """PSI: some task waited for memory."""
        try:
            return int(re.search(r"some .*total=(\d+)", self.read("memory.pressure"))[1])
        except OSError:
            return None

    def limit_hits(self):
        if self.v1:
            return int(self.read("memory.failcnt"))
        return int(re.search(r"(?m)^max (\d+)$", self.read("memory.events"))[1])


def reads_a_file(path, size):
    """Work for a Child: at each ask() it reads all of a file that is larger than its cgroup may hold."""

    def work(child):
        while True:
            child.hear()
            begin = time.monotonic()
            with open(path, "rb") as file:
                while file.read(MIB):
                    pass
            child.tell()

    return work
