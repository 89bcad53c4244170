#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What must hold however many containers come and go: names, little CPU, bounded memory."""

import contextlib
import hashlib
import unittest

import vtrace_live as live
from test_entities import Named


def hex_id(number):
    """64 hex digits, as engines give them."""
    return hashlib.sha256(b"%d" % number).hexdigest()


class Base(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def enter(self, context):
        return self.stack.enter_context(context)


def container_rows(reports):
    """The rows of containers by the path of their cgroup."""
    rows = {}
    for report in reports:
        for row in report["rows"]:
            if row["entity"]["kind"] == "container":
                rows.setdefault(row["entity"]["cgroup"], []).append(row)
    return rows


def cpu_share(reports):
    """Of one CPU, what vtrace itself took."""
    return sum(r["overhead"]["cpu_ns"] for r in reports) / sum(r["duration_ns"] for r in reports)


class Storm(Base):
    CONTAINERS = 500
    # In each a task naps and wakes: 20 ms.
    NAPS = 15

    def names(self):
        """(name of the cgroup, name of the container) of each of the storm, as engines would call them. No
        engine has them on record: the dearest case, as each has to be asked for."""
        for number in range(self.CONTAINERS):
            digits = hex_id(number)
            yield [
                (f"docker-{digits}.scope", digits[:12]),
                (f"lxc.payload.vtrace-{number}", f"vtrace-{number}"),
                (f"libpod-{digits}", digits[:12]),
                (f"cri-containerd-{digits}.scope", digits[:12]),
            ][number % 4]

    def test_500_containers_of_20_ms(self):
        expected = {}
        home = self.enter(live.Cgroup())
        parent = self.enter(Named("vtrace-storm"))
        child = self.enter(live.Child(live.naps(self.NAPS), home))
        with live.Tracer("runqlat", "--container", "--overhead", "--format", "json", "1") as tracer:
            first = tracer.wait_report(5)  # what was there before has been asked for
            for name, container in self.names():
                with Named(name, parent) as cgroup:
                    expected[cgroup.path] = container
                    try:
                        cgroup.add(child.pid)
                        child.ask()
                    finally:
                        home.add(child.pid)
            last = len(tracer.reports())
            tracer.wait_report(last + 3)
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
        before, reports = tracer.reports()[1:first], tracer.reports()[first:]
        rows = container_rows(reports)
        for path, container in expected.items():
            with self.subTest(path):
                self.assertIn(path, rows, "expected a row with its path")
                self.assertEqual({row["entity"]["name"] for row in rows[path]}, {container})
                self.assertGreater(sum(row["metrics"]["wait"]["count"] for row in rows[path]), 0)
                self.assertTrue(rows[path][-1]["entity"].get("ended"), "expected it to be marked")
        for report in reports:
            for row in report["rows"]:
                if row["metrics"]["wait"]["count"] and row["entity"]["kind"] != "host":
                    self.assertTrue(row["entity"]["cgroup"].startswith("/"), f"expected a path: {row['entity']}")
        for key in ("unresolved", "cgroup_dropped", "map_full"):
            self.assertEqual(live.losses(reports, key), 0, f"expected no loss of kind {key}")

        rss = [report["overhead"]["rss_bytes"] / 1e6 for report in reports]
        quiet, busy = cpu_share(before), cpu_share(reports[:-3])
        seconds = sum(r["duration_ns"] for r in reports[:-3]) / 1e9
        print(f"\n    {len(expected)} in {seconds:.0f} s: vtrace took {100 * busy:.2f} % of a CPU"
              f" ({100 * quiet:.2f} % before), {rss[0]:.1f} to {rss[-1]:.1f} MB", flush=True)
        self.assertLess(busy - quiet, 0.1, "expected names to cost next to nothing")
        self.assertLess(rss[-1] - rss[0], 4, "expected what has ended to be forgotten")


if __name__ == "__main__":
    unittest.main()
