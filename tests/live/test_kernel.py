#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What vtrace says that this kernel offers, and what it then uses, against the kernel's own symbols."""

import json
import pathlib
import subprocess
import unittest

import vtrace_live as live


def symbols():
    return {line.split()[2] for line in pathlib.Path("/proc/kallsyms").read_text().splitlines()}


def names(kind, ids):
    """The names of BPF programs or maps."""
    shown = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, check=True).stdout
    return {entry.get("name") for entry in json.loads(shown) if entry["id"] in ids}


class Fallbacks(unittest.TestCase):
    def test_check_agrees_with_the_kernel(self):
        result = live.run("check", "--format", "json")
        self.assertEqual(result.code, 0, result.err)
        checks = {c["name"]: c["available"] for c in json.loads(result.out)["checks"]}
        self.assertEqual(checks["task storage"], self.has_task_storage())
        self.assertTrue(checks["BTF"] and checks["run-queue accounting"] and checks["runqlat"], checks)

    def test_state_of_tasks(self):
        """In task storage where the kernel has it, else in a hash that forgets tasks as they end."""
        with live.Tracer("runqlat", "--format", "json", "0.3") as tracer:
            tracer.wait_report()
            ids = live.bpf_ids(tracer.pid)
            programs, maps = names("prog", ids["prog"]), names("map", ids["map"])
            tracer.stop()
        fallbacks = tracer.reports()[0]["loss"]["fallbacks"]
        self.assertTrue([name for name in programs if name.startswith("sched_switch")], programs)
        if self.has_task_storage():
            self.assertEqual(fallbacks, [])
            self.assertNotIn("sched_free", programs)
        else:
            self.assertEqual(len(fallbacks), 1, fallbacks)
            self.assertIn("no task storage", fallbacks[0])
            self.assertIn("sched_free", programs)
            self.assertIn("sched_tasks_has", maps)

    @staticmethod
    def has_task_storage():
        # For tracing programs, which is what vtrace's are, since 5.12 (a10787e6d58c).
        return "bpf_task_storage_get" in symbols() and live.kernel() >= (5, 12)


if __name__ == "__main__":
    unittest.main()
