#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""JSON output against the schema, line by line, and against itself."""

import datetime
import json
import os
import unittest

import jsonschema

import vtrace_live as live

SCHEMA = json.loads(live.SCHEMA.read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
COMMON = ("--format", "json")


def validator_of(definition):
    """Says what is wrong more precisely than the choice between all kinds of lines."""
    return jsonschema.Draft7Validator({**SCHEMA, "oneOf": [{"$ref": f"#/definitions/{definition}"}]})


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


class Json(unittest.TestCase):
    def check_line(self, raw, definition):
        self.assertTrue(raw.endswith(b"\n"), "expected each document to end its line")
        document = json.loads(raw.decode("utf-8"))
        errors = [f"{list(e.absolute_path)}: {e.message}"
                  for top in validator_of(definition).iter_errors(document) for e in top.context or [top]]
        self.assertEqual(errors, [], f"expected a line of kind {definition} by the schema")
        self.assertTrue(VALIDATOR.is_valid(document), "expected exactly one kind of line to match")
        return document

    def check_lines(self, raw):
        documents = []
        events = 0
        for line in raw.splitlines(keepends=True):
            kind = "slow_wait" if b'"event"' in line else "report"
            events += kind == "slow_wait"
            if kind == "slow_wait" and events > 50:  # the schema is slow, and they are all alike
                documents.append(json.loads(line))
                continue
            documents.append(self.check_line(line, kind))
            if kind == "report":
                self.check_report(documents[-1])
        return documents

    def check_report(self, report):
        self.assertEqual(report["kernel"], os.uname().release, "expected the running kernel")
        self.assertEqual(report["host"], os.uname().nodename, "expected this host")
        length = (moment(report["end"]) - moment(report["start"])).total_seconds()
        self.assertAlmostEqual(length, report["duration_ns"] / 1e9, delta=0.0011,
                               msg="expected the duration to be end - start, rounded to ms")
        sums = [row["metrics"]["wait"]["sum"] for row in report["rows"]]
        self.assertEqual(sums, sorted(sums, reverse=True), "expected the largest sum first")
        ids = [row["entity"]["id"] for row in report["rows"] if row["entity"]["id"]]
        self.assertEqual(len(ids), len(set(ids)), "expected one row for each entity")
        ages = [wait["age_ns"] for wait in report["open"]]
        self.assertEqual(ages, sorted(ages, reverse=True), "expected the oldest first")
        for histogram in [row["metrics"]["wait"] for row in report["rows"]] + (
            [report["left_out"]] if "left_out" in report else []
        ):
            self.check_histogram(histogram)

    def check_histogram(self, h):
        buckets = h["buckets"]
        self.assertGreater(h["count"], 0, "expected no empty histograms")
        self.assertEqual(sum(count for _, _, count in buckets), h["count"], "expected count = sum of buckets")
        for low, high, _ in buckets:
            self.assertLess(low, high, "expected low < high")
            # The first buckets are 16 ns wide, the others an eighth of their lower edge at most.
            self.assertLessEqual(high - low, max(16, low * 2 * h["error_bound"]),
                                 "expected buckets as narrow as the error bound says")
        for (_, high, _), (low, _, _) in zip(buckets, buckets[1:]):
            self.assertLessEqual(high, low, "expected ordered buckets that do not overlap")
        low, high, _ = buckets[-1]
        self.assertTrue(low <= h["max"] < high, f"expected max {h['max']} in the last bucket {low} … {high}")
        quantiles = [h[key] for key in ("p50", "p90", "p99", "p999")] + [h["max"]]
        self.assertEqual(quantiles, sorted(quantiles), "expected p50 <= p90 <= p99 <= p999 <= max")
        for key, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
            low, high = self.bucket_of(buckets, share, h["count"])
            self.assertTrue(low <= h[key] < high, f"expected {key} {h[key]} within {low} … {high}")
        # The sum may lag by the few updates in flight on each CPU.
        least = sum(low * count for low, _, count in buckets)
        most = sum(high * count for _, high, count in buckets)
        lag = os.cpu_count() * h["max"]
        self.assertTrue(least - lag <= h["sum"] <= most + lag,
                        f"expected the sum {h['sum']}, and so the mean, within {least} … {most}")

    @staticmethod
    def bucket_of(buckets, share, count):
        """The edges of the bucket of the nearest rank."""
        rank = max(1, -(-int(share * 1000) * count // 1000))
        for low, high, number in buckets:
            rank -= number
            if rank <= 0:
                return low, high
        raise AssertionError("expected the rank to be within the count")

    def reports(self, *arguments):
        result = live.run("runqlat", *arguments, *COMMON, "0.3", "2")
        self.assertEqual((result.code, result.err), (0, ""), f"expected exit code 0 for {arguments}")
        documents = self.check_lines(result.raw_out)
        reports = [d for d in documents if "rows" in d]
        self.assertEqual(len(reports), 2, "expected 2 reports")
        return reports


class Reports(Json):
    def setUp(self):
        # Something to report about: waits of all sizes in a cgroup.
        self.cgroup = live.Cgroup()
        self.addCleanup(self.cgroup.remove)
        for work in (live.yields, live.spin, live.spin):
            child = live.Child(work, self.cgroup, cpu=live.last_cpu())
            self.addCleanup(child.stop)
        self.child = child

    @live.on_any_kernel
    def test_each_option_with_each_other_kind(self):
        selections = ([], ["--cgroup"], [f"--cgroup={self.cgroup.path}"], ["--pid", str(self.child.pid)],
                      ["--comm", "*"], ["--cgroup", "--top", "1"])
        extras = ([], ["--overhead", "--include-self", "--timestamp"], ["--slower", "1"])
        # Each selection once, one of them with all the rest.
        pairs = [(selection, extras[i % 3]) for i, selection in enumerate(selections)]
        pairs += [(["--cgroup"], extra) for extra in extras]
        for selection, extra in pairs:
            with self.subTest(arguments=selection + extra):
                reports = self.reports(*selection, *extra)
                self.assertTrue(any(d["rows"] for d in reports), "expected waits")
                for report in reports:
                    self.assertEqual("overhead" in report, "--overhead" in extra,
                                     "expected the own cost if, and only if, it was asked for")
                    kinds = {row["entity"]["kind"] for row in report["rows"]}
                    allowed = {"cgroup", "other"} if selection and "cgroup" in selection[0] else {"host"}
                    self.assertLessEqual(kinds, allowed, "expected rows of the kind that was asked for")

    @live.on_any_kernel
    def test_single_waits(self):
        with live.Tracer("runqlat", "--cgroup", "--slower", "1", *COMMON, "600") as tracer:
            tracer.wait_line(lambda line: self.cgroup.path.encode() in line, "a single wait")
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
            documents = self.check_lines(b"".join(tracer.lines))
        self.assertIn("slow_wait", {d.get("event") for d in documents}, "expected single waits")
        self.assertTrue(all(d["wait_ns"] > 1e6 for d in documents if "event" in d), "expected waits above 1 ms")

    @live.on_any_kernel
    def test_windows_follow_each_other(self):
        with live.Tracer("runqlat", *COMMON, "0.2") as tracer:
            tracer.wait_report(4)
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
            reports = self.check_lines(b"".join(tracer.lines))
        for before, after in zip(reports, reports[1:]):
            gap = (moment(after["start"]) - moment(before["end"])).total_seconds()
            self.assertAlmostEqual(gap, 0, delta=0.005, msg="expected no gap between windows")

    def test_overhead(self):
        start = live.time.monotonic_ns()
        reports = self.reports("--cgroup", "--overhead")
        elapsed = live.time.monotonic_ns() - start
        for report in reports:
            overhead = report["overhead"]
            switch = next((p for p in overhead["programs"] if p["name"].startswith("sched_switch")), None)
            self.assertIsNotNone(switch, "expected the program on sched_switch")
            waits = sum(row["metrics"]["wait"]["count"] for row in report["rows"])
            # Read after the histograms, on each CPU in turn.
            self.assertGreaterEqual(switch["run_cnt"] * 1.05 + 100, waits, "expected a run for each wait")
            each = switch["run_time_ns"] / switch["run_cnt"]
            self.assertTrue(5 < each < 500_000, f"expected a plausible time for each run, got {each} ns")
            self.assertTrue(1 << 20 < overhead["rss_bytes"] < 1 << 30, "expected plausible memory")
            self.assertTrue(0 < overhead["cpu_ns"] < elapsed * os.cpu_count(), "expected plausible CPU time")
            self.assertTrue(0 < overhead["startup_ns"] < elapsed, "expected a plausible time to start")

    @live.on_any_kernel
    def test_nothing_to_report(self):
        with live.Cgroup() as empty:
            for report in self.reports(f"--cgroup={empty.path}"):
                self.assertEqual(report["rows"], [], "expected no row without a wait")


class Lists(Json):
    def one_line(self, definition, *arguments, code=0, **options):
        result = live.run(*arguments, *COMMON, **options)
        self.assertEqual(result.code, code, f"expected exit code {code}: {result.err}")
        lines = result.raw_out.splitlines(keepends=True)
        self.assertEqual(len(lines), 1, "expected one line")
        return self.check_line(lines[0], definition)

    @live.on_any_kernel
    def test_list(self):
        names = [tool["name"] for tool in self.one_line("tool_list", "list")["tools"]]
        self.assertIn("runqlat", names, "expected the tool")

    def test_check(self):
        checks = {c["name"]: c["available"] for c in self.one_line("check", "check")["checks"]}
        for name in ("CAP_BPF", "CAP_PERFMON", "BTF", "cgroups", "runqlat"):
            self.assertIs(checks.get(name), True, f"expected {name} to be there for root")

    def test_check_without_privileges(self):
        with live.binary_copy() as copy:
            document = self.one_line("check", "check", code=3, prefix=live.as_nobody(), binary=copy)
        checks = {c["name"]: c["available"] for c in document["checks"]}
        for name in ("CAP_BPF", "CAP_PERFMON", "runqlat"):
            self.assertIs(checks.get(name), False, f"expected {name} to be missing for nobody")


@live.on_any_kernel
class Schema(unittest.TestCase):
    def test_is_a_schema(self):
        jsonschema.Draft7Validator.check_schema(SCHEMA)

    def test_refuses_what_is_wrong(self):
        good = {"schema": "vtrace/1", "tools": [{"name": "runqlat", "summary": "x"}]}
        self.assertTrue(VALIDATOR.is_valid(good), "expected a good document to pass")
        for bad in ({}, {**good, "schema": "vtrace/2"}, {**good, "more": 1},
                    {"schema": "vtrace/1", "tools": [{"name": "runqlat", "summary": "\x1b[31m"}]}):
            self.assertFalse(VALIDATOR.is_valid(bad), f"expected {bad} to be refused")


if __name__ == "__main__":
    unittest.main()
