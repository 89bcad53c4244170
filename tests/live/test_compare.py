#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Recordings held against each other: of loads that are known to be alike, and known to be heavier."""

import contextlib
import json
import unittest

import jsonschema

import vtrace_live as live
from test_record import RecordTestCase

SCHEMA = jsonschema.Draft7Validator(json.loads(live.SCHEMA.read_text()))
INTERVAL = "0.25"
SECONDS = "6"


@unittest.skipIf(live.EMULATED, live.TOO_SLOW)
class CompareTestCase(RecordTestCase):
    def compared(self, *arguments):
        """The document, as an ordinary user."""
        result = live.run("compare", *arguments, "--format", "json", prefix=live.as_nobody())
        self.assertEqual(result.code, 0, f"expected a comparison: {result.err}")
        document = json.loads(result.out)
        self.assertTrue(SCHEMA.is_valid(document), "expected a line by the schema")
        return document["compare"]

    def record(self, name, *options, spinners=0, cgroup=None):
        """A recording of so many tasks that spin on one CPU: all but one of them wait at any time."""
        file = self.directory / name
        with contextlib.ExitStack() as stack:
            for _ in range(spinners):
                stack.enter_context(live.Child(live.spin, cgroup, cpu=live.last_cpu()))
            done = live.run("record", "--tools=runqlat,states", "-o", file, "--interval", INTERVAL, *options,
                            SECONDS)
        self.assertEqual(done.code, 0, done.err)
        return file


def metric_of(row, name):
    return next(metric for metric in row["metrics"] if metric["name"] == name)


class Compare(CompareTestCase):
    def of_loads(self, first, second):
        """What is said of how many tasks waited, of so many that spin against so many."""
        with live.Cgroup() as cgroup:
            files = [self.record(f"{number}.rec", f"--cgroup={cgroup.path}", spinners=spinners, cgroup=cgroup)
                     for number, spinners in enumerate((first, second))]
        (row,) = self.compared(*files)["rows"]
        waiting = metric_of(row, "runq_waiting")
        medians = [side["median"] for side in waiting["recordings"]]
        (difference,) = waiting["against_first"]
        print(f"    waiting {medians[0]:.2f} and {medians[1]:.2f}, change {difference['change']}: "
              f"{difference['verdict']}")
        return row, medians, difference

    @live.measured
    def test_more_load_is_worse(self):
        row, medians, difference = self.of_loads(2, 4)
        # What else is on this CPU makes them wait more, in both.
        self.assertGreater(medians[0], 0.9, "expected one of two to wait")
        self.assertGreater(medians[1], medians[0] + 1, "expected three of four to wait")
        self.assertEqual(difference["verdict"], "worse")
        self.assertEqual(row["got_worse"], ["yes"])
        low, high = difference["change"]["interval"]
        self.assertTrue(low < difference["change"]["value"] < high)
        self.assertEqual(metric_of(row, "cpu_wait_share")["against_first"][0]["verdict"], "worse")

    @live.measured
    def test_the_same_is_not_worse(self):
        row, _, difference = self.of_loads(3, 3)
        self.assertTrue(difference["verdict"] in ("same", "cannot tell", "better") or difference["below_5_percent"],
                        "expected no change that counts")
        self.assertNotEqual(metric_of(row, "runq_waiting")["recordings"][0]["trend"], "rising")

    def test_entities_by_name(self):
        with live.Cgroup() as loaded, live.Cgroup() as other:
            with live.Child(live.spin, other, cpu=live.last_cpu()):
                before = self.record("before.rec", spinners=1, cgroup=loaded)
                after = self.record("after.rec", spinners=4, cgroup=loaded)
                alone = self.record("alone.rec")
            rows = self.compared(before, after, "--cgroup")["rows"]
            of = {row["entity"]["name"]: row for row in rows}
            self.assertIn(other.path, of)
            self.assertEqual(of[loaded.path]["got_worse"], ["yes"])
            (row,) = self.compared(before, after, f"--cgroup={loaded.path}")["rows"]
            self.assertEqual(row, of[loaded.path])
            unmatched = [entity["name"] for entity in self.compared(before, alone, "--cgroup")["unmatched"]]
            self.assertIn(loaded.path, unmatched)
        document = self.compared(before, after, alone)
        self.assertEqual([len(row["got_worse"]) for row in document["rows"]], [2])
        text = live.run("compare", before, after, alone)
        self.assertIn("C against A", text.out)
        self.assertEqual([line for line in text.out.splitlines() if len(line) > 100], [])
        trends = live.run("compare", before)
        self.assertIn("FIRST HALF", trends.out)


class BadDays(CompareTestCase):
    def recorded(self):
        done = live.run("record", "--tools=runqlat", "-o", self.file, "--interval", "0.2", "1")
        self.assertEqual(done.code, 0, done.err)
        return self.file.read_bytes()

    def test_damaged(self):
        whole = self.recorded()
        damaged = self.directory / "damaged.rec"
        damaged.write_bytes(whole[:-10] + b"x" * 10)
        result = live.run("compare", self.file, damaged)
        live.check_failure(self, result, 1, "damaged.rec", "in its interval 5 ")
        self.assertEqual(result.out, "", "expected no answer from a part")
        damaged.write_bytes(whole[:-10])
        recordings = self.compared(self.file, damaged)["recordings"]
        self.assertEqual([r["cut"] for r in recordings], [False, True])
        self.assertEqual([r["intervals"] for r in recordings], [5, 4])

    def test_no_recordings(self):
        for content, mention in ((b"", "no recording"), (b"vtrace-recording/9\n", "format 9")):
            self.file.write_bytes(content)
            result = live.run("compare", self.file)
            live.check_failure(self, result, result.code, "a.rec", mention)
            self.assertIn(result.code, (1, 2))
        live.check_failure(self, live.run("compare", self.directory / "none"), 1, "none")
        live.check_failure(self, live.run("compare", "/dev/zero"), 2, "is no file")

    def test_wrong_usage(self):
        self.recorded()
        live.check_failure(self, live.run("compare"), 2, "FILES")
        live.check_failure(self, live.run("compare", self.file, "--output", self.file), 2, "is the recording")
        live.check_failure(self, live.run("compare", self.file, "--from", "noon"), 2, "noon")
        live.check_failure(self, live.run("compare", self.file, "--from", "100"), 1, "no interval")
        live.check_failure(self, live.run("compare", self.file, "--cgroup=/none"), 2, "no cgroup /none")
        missing = self.compared(self.file, "--vm")["not_compared"]
        self.assertTrue(any("biolatency was not recorded" in one["why"] for one in missing))


if __name__ == "__main__":
    unittest.main()
