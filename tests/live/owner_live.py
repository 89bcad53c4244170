# SPDX-License-Identifier: GPL-2.0-only
"""Who has loads in the tests of `vtrace diagnose`: cgroups of all hierarchies at once."""

import contextlib
import os
import pathlib
import re
import signal

import vtrace_live as live


class Owner:
    """A cgroup of the same name in every hierarchy that vtrace charges to, as engines make them."""

    CONTROLLERS = ("cpu", "memory", "blkio", None)
    V2 = ("+cpu", "+memory", "+io")

    def __init__(self, name, parent=None):
        self.name = name
        self.path = f"{parent.path if parent else ''}/{name}"
        self._places = {}
        for controller in self.CONTROLLERS:
            found = live.hierarchy(controller)
            self._places[controller] = pathlib.Path(found.mount + self.path), found.v1
        for place in self._directories():
            if not self._places["cpu"][1]:
                (place.parent / "cgroup.subtree_control").write_text(" ".join(self.V2))
            place.mkdir()

    def _directories(self):
        return {place for place, _ in self._places.values()}

    @property
    def directory(self):
        """The one that sockets belong to, v2's."""
        return os.fsencode(self._places[None][0])

    def add(self, pid=0):
        """Moves a process (the caller by default) into it."""
        for place in self._directories():
            (place / "cgroup.procs").write_text(str(pid))

    def put(self, controller, v1, v2):
        """Sets limits: (file, value) of either version."""
        place, is_v1 = self._places[controller]
        for file, value in v1 if is_v1 else v2:
            (place / file).write_text(str(value))

    def cpu_quota(self, quota_us, period_us):
        self.put("cpu", [("cpu.cfs_period_us", period_us), ("cpu.cfs_quota_us", quota_us)],
                 [("cpu.max", f"{quota_us} {period_us}")])

    def cpu_weight(self, times):
        """In multiples of the usual one."""
        self.put("cpu", [("cpu.shares", 1024 * times)], [("cpu.weight", 100 * times)])

    def cpu_weight_of_parent(self, times):
        self.put("cpu", [("../cpu.shares", 1024 * times)], [("../cpu.weight", 100 * times)])

    def memory_limit(self, size):
        self.put("memory", [("memory.limit_in_bytes", size)], [("memory.max", size)])

    def disk_limit(self, disk, bytes_per_second):
        self.put("blkio", [("blkio.throttle.write_bps_device", f"{disk.number} {bytes_per_second}")],
                 [("io.max", f"{disk.number} wbps={bytes_per_second}")])

    def user_seconds(self):
        """CPU time in user mode (guests' included) of all that was ever in it."""
        text = (self._places[None][0] / "cpu.stat").read_text()
        return int(re.search(r"(?m)^user_usec (\d+)$", text)[1]) / 1e6

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Whatever is left in it ends: loads have children."""
        live.until(self._empty, f"nobody is left in {self.name}")
        for place in self._directories():
            live.Cgroup.remove_directory(os.fsencode(place))

    def _empty(self):
        pids = {pid for place in self._directories() for pid in (place / "cgroup.procs").read_text().split()}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
            # A child of ours goes when it has been waited for.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(int(pid), os.WNOHANG)
        return not pids


class OwnerOf(Owner):
    """The one that a process is in, which somebody else has made and removes."""

    def __init__(self, pid):
        self._places = {}
        lines = [line.split(":", 2) for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
        for controller in self.CONTROLLERS:
            found = live.hierarchy(controller)
            (path,) = [path for _, names, path in lines
                       if (controller in names.split(",") if found.v1 else not names)]
            self._places[controller] = pathlib.Path(found.mount + path), found.v1
