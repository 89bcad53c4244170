#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Recordings: all tools at once, replayed without privileges; to the byte what was shown; whatever ends them."""

import json
import os
import pathlib
import signal
import tempfile
import unittest

import net_live as net
import vtrace_live as live

CONNECTIONS = 60
ASKS = 40
PORT = 8080


class RecordTestCase(live.TestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(self.enter(tempfile.TemporaryDirectory()))
        self.directory.chmod(0o755)  # for whom replays it
        self.file = self.directory / "a.rec"

    def report(self, *arguments, file=None):
        """vtrace report, as an ordinary user."""
        result = live.run("report", file or self.file, *arguments, prefix=live.as_nobody())
        self.assertEqual(result.code, 0, f"expected a report: {result.err}")
        return result

    def replayed(self, *arguments):
        return [json.loads(line) for line in self.report(*arguments, "--format", "json").out.splitlines()]

    def contents(self):
        return json.loads(self.report("--format", "json").out)["recording"]

    def wait_intervals(self, recorder, count):
        def there():
            self.assertIsNone(recorder.process.poll(), f"expected it to go on: {recorder.err}")
            return live.recorded_intervals(self.file) >= count

        live.until(there, f"{count} intervals in the recording", every=0.1)


class Record(RecordTestCase):
    @live.measured
    def test_what_several_tools_would_have_said(self):
        """Waits against schedstat, connections against who made them: in one recording, on any hierarchy."""
        box = self.enter(net.Container())
        cgroup = self.enter(live.Cgroup())
        child = self.enter(live.Child(live.naps(5), cgroup))
        with live.Tracer("record", "-o", self.file, "--interval", "0.5") as recorder:
            self.wait_intervals(recorder, 1)
            before = live.schedstat(child.pid)
            for _ in range(ASKS):
                child.ask()
            live.until(lambda: live.state(child.pid) == "S", "the task sleeps", every=0.001)
            waited = live.schedstat(child.pid)
            with box.serving(PORT):
                box.connect(CONNECTIONS, 0, 0, f"127.0.0.1:{PORT}")
            self.wait_intervals(recorder, self.contents()["intervals"] + 2)
            self.assertEqual(recorder.stop(), 0, "expected exit code 0")
        contents = self.contents()
        self.assertFalse(contents["cut"])
        reports = self.replayed("runqlat", "--cgroup")
        self.assertEqual(len(reports), contents["intervals"])
        counted = live.total(reports, cgroup.path)
        missed = sum(live.losses(reports, key) for key in ("clock_anomaly", "missed_start"))
        print(f"    {counted} waits, by the kernel {waited[2] - before[2]}, not measured on the host {missed}")
        self.assertLessEqual(abs(counted - (waited[2] - before[2])), missed + 1)
        connected = [
            row["metrics"]["connected"]["value"]
            for report in self.replayed("tcpconnlat")
            for row in report["rows"]
            if row["entity"].get("cgroup") == box.path
        ]
        print(f"    {sum(connected):g} connections of {CONNECTIONS}")
        self.assertEqual(sum(connected), CONNECTIONS)
        # One report is that of its interval: together they are no more than the recording.
        self.assertEqual(
            [r["start"] for r in reports],
            [r["start"] for r in self.replayed("runqlat")],
            "expected the same intervals, whatever is asked",
        )
        for tool in contents["tools"]:
            self.replayed(tool)

    def test_from_and_to(self):
        result = live.run("record", "--tools=runqlat", "-o", self.file, "--interval", "0.2", "1")
        self.assertEqual(result.code, 0, result.err)
        self.assertEqual(self.contents()["intervals"], 5)
        everything = self.replayed("runqlat")
        self.assertEqual(self.replayed("--from", "0.5", "runqlat"), everything[2:])
        self.assertEqual(self.replayed("--to", "0.5", "runqlat"), everything[:3])
        self.assertEqual(self.replayed("runqlat", "--from", "0.5", "--to", "0.5"), everything[2:3])
        self.assertEqual(self.replayed("--to", "2100-01-01T00:00:00Z", "runqlat"), everything)
        nothing = live.run("report", self.file, "--from", "100", "runqlat")
        live.check_failure(self, nothing, 1, "no interval")


class Bytes(RecordTestCase):
    def test_replay_gives_what_was_shown(self):
        """Text and JSON by turns; of each kind of snapshot one tool."""
        tools = (
            ("runqlat", "--cgroup"),
            ("blame", "--container"),
            ("states", "--threads"),
            ("offcputime", "--min", "0"),
            ("biolatency",),
            ("memstall",),
            ("tcplife", "--by", "remote"),
            ("netq",),
            ("netdrop",),
            ("softirqs",),
            ("vmcost",),
        )
        compared = 0
        for number, (tool, *options) in enumerate(tools):
            with self.subTest(tool):
                file = self.directory / tool
                shown = [tool, *options, "--format", "json" if number % 2 else "text"]
                with live.Cgroup() as cgroup, live.Child(live.spin, cgroup):
                    said = live.run(*shown, "--record", file, "0.3", "2")
                if said.code == 3:
                    print(f"    {tool}: not here: {said.err.strip()}")
                    continue
                self.assertEqual(said.code, 0, said.err)
                self.assertEqual(self.report(*shown, file=file).raw_out, said.raw_out)
                compared += 1
        print(f"    {compared} of {len(tools)} tools compared")
        self.assertGreater(compared, len(tools) // 2)


    @unittest.skipIf(live.EMULATED, live.TOO_SLOW)
    def test_diagnosis(self):
        """Of a bottleneck; with its tree, without, and as JSON."""
        with live.Cgroup() as cgroup, live.Child(live.spin, cgroup, cpu=0), live.Child(live.spin, cgroup, cpu=0):
            for number, options in enumerate(([], ["--explain"], ["--explain", "--format", "json"])):
                with self.subTest(options):
                    file = self.directory / f"diagnosis-{number}"
                    said = live.run("diagnose", *options, "--record", file, "1")
                    self.assertEqual(said.code, 0, said.err)
                    self.assertIn(cgroup.path, said.out, "expected a finding")
                    self.assertEqual(self.report("diagnose", *options, file=file).raw_out, said.raw_out)


class BadDays(RecordTestCase):
    def recorded(self, count=3):
        self.file.unlink(missing_ok=True)
        done = live.run("record", "--tools=runqlat", "-o", self.file, "--interval", "0.2", str(0.2 * count))
        self.assertEqual(done.code, 0, done.err)
        return self.file.read_bytes()

    def test_killed(self):
        with live.Tracer("record", "-o", self.file, "--interval", "0.2") as recorder:
            self.wait_intervals(recorder, 2)
            recorder.process.send_signal(signal.SIGKILL)
            recorder.wait()
        contents = self.contents()
        self.assertGreaterEqual(contents["intervals"], 2)
        self.assertEqual(len(self.replayed("runqlat")), contents["intervals"])

    def test_cut(self):
        whole = self.recorded()
        self.file.write_bytes(whole[:-10])
        result = self.report("runqlat", "--format", "json")
        self.assertEqual(len(result.out.splitlines()), 2)
        self.assertIn("ends within an interval", result.err)
        self.assertTrue(self.contents()["cut"])

    def test_damaged(self):
        whole = self.recorded()
        self.file.write_bytes(whole[:-10] + b"x" * 10)
        result = live.run("report", self.file, "runqlat", "--format", "json")
        self.assertEqual(result.code, 1)
        self.assertEqual(len(result.out.splitlines()), 2, "expected what is before the damage")
        live.check_one_line(self, result.err)
        self.assertIn("in its interval 3 ", result.err)

    def test_no_recordings(self):
        for content, mention in (
            (b"", "no recording"),
            (os.urandom(5000), "no recording"),
            (b"vtrace-recording/9\n", "format 9"),
            (b"vtrace-recording/1\n", "ends before"),
        ):
            self.file.write_bytes(content)
            for arguments in ((), ("runqlat",)):
                result = live.run("report", self.file, *arguments)
                self.assertIn(result.code, (1, 2))
                live.check_failure(self, result, result.code, mention)
        live.check_failure(self, live.run("report", self.directory / "none"), 1, "none")

    def test_what_was_not_measured(self):
        self.recorded()
        live.check_failure(self, live.run("report", self.file, "netq"), 2, "netq was not recorded")
        threads = live.run("report", self.file, "runqlat", "--pid", "1")
        live.check_failure(self, threads, 2, "--pid was not recorded so")
        live.check_failure(self, live.run("record", "-o", self.file, "1"), 1, "give another name")
        live.check_failure(self, live.run("record", "--container", "1"), 2, "--container selects nothing")
        live.check_failure(self, live.run("record", "--tools=top", "1"), 2, "no tool top")
        live.check_failure(self, live.run("record", "--tools=,", "1"), 2, "names no tool")
        of_vm = live.run("record", "--tools=netdrop", "--vm=none", "1")
        live.check_failure(self, of_vm, 2, "netdrop", "has no --vm")
        onto_itself = live.run("report", self.file, "runqlat", "--output", self.file)
        live.check_failure(self, onto_itself, 2, "is the recording")
        live.check_failure(self, live.run("report", "/dev/zero"), 2, "is no file")
        for arguments in ((), ("runqlat",)):
            self.report(*arguments)
        live.check_failure(self, live.run("report", self.file, "runqlat", "1", "3"), 2)
        live.check_failure(self, live.run("report", self.file, "--from", "noon", "runqlat"), 2, "noon")


if __name__ == "__main__":
    unittest.main()
