#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Time off the CPU by stack and reason, against a workload that keeps its own account of it."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

import vtrace_live as live

BLOCKER = pathlib.Path(os.environ.get("VTRACE_BUILD", live.ROOT / "build"), "wl_blocker")
REASONS = {
    "block_in_sleep": "sleep",
    "block_on_futex": "lock",
    "block_on_pipe": "pipe",
    "block_on_socket": "socket",
    "block_in_epoll": "poll",
}
CALLERS = ["one_round", "all_rounds", "main"]


class Blocker:
    def __init__(self, rounds, ms, program=BLOCKER, prefix=()):
        self.rounds = rounds
        self.process = subprocess.Popen(
            [*prefix, program, str(rounds), str(ms)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        if self.process.stdout.readline() != "ready\n":
            raise AssertionError("expected the workload to start")

    def begin(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def account(self):
        """By function, once all is done: what tests/workloads/blocker.cpp says of it."""
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait(live.PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def stacks_of(reports, pid):
    return [s for r in reports for row in r["rows"] for s in row["stacks"] if s["pid"] == pid]


def under(stacks, function):
    return [s for s in stacks if function in s["user"]]


def figure(stacks, name="time"):
    return sum(s["metrics"][name]["value"] for s in stacks)


# The workload times itself around each call; emulated, reading the clock and calling take their time, too.
TOLERANCE = 0.15 if live.EMULATED else 0.02


class OffCpuTime(live.TestCase):
    def trace(self, *arguments, interval=0.3):
        tracer = self.enter(live.Tracer("offcputime", *arguments, "--format", "json", interval))
        tracer.wait_report()
        return tracer

    def measure(self, blocker, *arguments):
        """The stacks of the workload's process, and its own account."""
        tracer = self.trace(*arguments)
        blocker.begin()
        account = blocker.account()
        tracer.wait_report(len(tracer.reports()) + 2)
        self.assertEqual(tracer.stop(), 0)
        reports = tracer.reports()
        for lost in ("stacks_lost", "blocks_lost", "task_failed"):
            self.assertEqual(live.losses(reports, lost), 0, lost)
        return stacks_of(reports, blocker.pid), account

    def check_time(self, found, account, min_ns=1e6):
        """Of a call next to nothing is not off the CPU; being preempted may be too short to be listed."""
        slack = TOLERANCE * account["ns"] + account["preempted"] * min_ns
        self.assertAlmostEqual(found, account["ns"], delta=slack, msg=account)

    def check(self, stacks, account, rounds, min_ns=1e6):
        for function, reason in REASONS.items():
            found, known = under(stacks, function), account[function]
            # On a busy machine it may be preempted there as well.
            blocks = [s for s in found if s["reason"] not in ("runnable", "throttled")]
            # Preempted before it blocks, it may block for so short a time that it is not listed.
            count = figure(blocks, "count")
            self.assertLessEqual(count, known["blocked"], (function, known, found))
            self.assertGreaterEqual(count, known["blocked"] - known["disturbed"], (function, known, found))
            self.assertGreater(count, rounds / 2, (function, known))
            self.check_time(figure(found), known, min_ns)
            self.assertEqual({s["reason"] for s in blocks}, {reason})
            for stack in blocks:
                self.assertEqual(stack["user"][: 1 + len(CALLERS)], [function, *CALLERS])
                self.assertGreater(len(stack["kernel"]), 2, stack)
                self.assertTrue(any("sys" in frame for frame in stack["kernel"]), stack)

    @live.measured
    def test_times_stacks_and_reasons(self):
        blocker = self.enter(Blocker(20, 20))
        stacks, account = self.measure(blocker)
        self.check(stacks, account, 20)

    @live.measured
    def test_of_one_process(self):
        blocker = self.enter(Blocker(5, 20))
        other = self.enter(Blocker(5, 20))
        other.begin()
        tracer = self.trace("--pid", blocker.pid, "--blocked")
        blocker.begin()
        account = blocker.account()
        tracer.wait_report(len(tracer.reports()) + 2)
        tracer.stop()
        reports = tracer.reports()
        self.check(stacks_of(reports, blocker.pid), account, 5)
        pids = {s["pid"] for r in reports for row in r["rows"] for s in row["stacks"]}
        self.assertEqual(pids, {blocker.pid})

    @live.measured
    def test_of_one_cgroup(self):
        cgroup = self.enter(live.Cgroup())
        blocker = self.enter(Blocker(5, 20))
        cgroup.add(blocker.pid)
        tracer = self.trace(f"--cgroup={cgroup.path}")
        blocker.begin()
        account = blocker.account()
        tracer.wait_report(len(tracer.reports()) + 2)
        tracer.stop()
        reports = tracer.reports()
        self.check(stacks_of(reports, blocker.pid), account, 5)
        for row in (row for report in reports for row in report["rows"]):
            self.assertEqual(row["entity"]["cgroup"], cgroup.path)
            parts = [v["value"] for k, v in row["metrics"].items() if k not in ("count", "time")]
            self.assertEqual(sum(parts), row["metrics"]["time"]["value"])
            self.assertEqual(figure(row["stacks"]), row["metrics"]["time"]["value"])
        blocker.end()

    def measure_bounds(self):
        """What is found of three workloads of which one is within the bounds, and their own accounts."""
        blockers = [self.enter(Blocker(5, ms)) for ms in (5, 25, 70)]
        tracer = self.trace("--min", "15", "--max", "55")
        for blocker in blockers:
            blocker.begin()
        accounts = [blocker.account() for blocker in blockers]
        tracer.wait_report(len(tracer.reports()) + 2)
        tracer.stop()
        return [stacks_of(tracer.reports(), blocker.pid) for blocker in blockers], accounts

    @live.measured
    def test_bounds(self):
        for _ in range(live.ATTEMPTS):
            (short, right, long), accounts = self.measure_bounds()
            longest = [max(of["longest"] for of in account.values()) / 1e6 for account in accounts]
            print(f"\n    longest calls: {longest} ms", flush=True)
            if longest[0] < 15 and longest[1] < 55:  # else the machine was too busy for them
                break
        else:
            self.fail(f"expected a machine on which what sleeps for 5 ms wakes up within 15: {longest} ms")
        for function in REASONS:
            self.assertEqual(under(short, function) + under(long, function), [])
        self.check(right, accounts[1], 5, min_ns=15e6)

    @live.measured
    def test_deleted_program_with_a_hostile_name(self):
        directory = self.enter(tempfile.TemporaryDirectory())
        program = pathlib.Path(directory, "a b;c\033[2J")
        shutil.copy(BLOCKER, program)
        blocker = self.enter(Blocker(5, 20, program))
        program.unlink()
        stacks, account = self.measure(blocker)
        self.check(stacks, account, 5)
        self.assertEqual({s["comm"] for s in under(stacks, "main")}, {"a b;c\\x1b[2J"})

    @live.measured
    def test_program_of_another_mount_namespace(self):
        directory = self.enter(tempfile.TemporaryDirectory())
        script = f'mount -t tmpfs none "{directory}" && cp "$0" "{directory}/it" && exec "{directory}/it" "$@"'
        prefix = ["unshare", "--mount", "sh", "-c", script]
        blocker = self.enter(Blocker(5, 20, prefix=prefix))
        self.assertEqual(os.listdir(directory), [])
        stacks, account = self.measure(blocker)
        self.check(stacks, account, 5)

    @live.measured
    def test_process_that_ends_before_the_report(self):
        blocker = self.enter(Blocker(10, 20))
        tracer = self.trace(interval=3)
        blocker.begin()
        account = blocker.account()
        blocker.end()
        tracer.wait_report(2)
        tracer.stop()
        self.check(stacks_of(tracer.reports(), blocker.pid), account, 10)

    @live.measured
    def test_what_has_not_ended(self):
        blocker = self.enter(Blocker(1, 3000))
        tracer = self.trace()
        blocker.begin()
        time.sleep(0.5)  # reports that are late come in a row: they alone say nothing about time
        tracer.wait_report(len(tracer.reports()) + 1)
        report = tracer.reports()[-1]
        mine = [o for o in report["open"] if o["pid"] == blocker.pid and "main" in o["user"]]
        self.assertEqual([o["user"][0] for o in mine], ["block_in_sleep"], mine)
        self.assertEqual(mine[0]["reason"], "sleep")
        self.assertGreater(mine[0]["age_ns"], 0.2e9)
        self.assertLess(mine[0]["age_ns"], 3e9)

    @live.measured
    def test_folded(self):
        blocker = self.enter(Blocker(5, 20))
        tracer = self.enter(live.Tracer("offcputime", "--format", "folded"))
        tracer.wait_attached()
        tracer.wait_poll()
        blocker.begin()
        account = blocker.account()
        self.assertEqual(tracer.stop(), 0)
        lines = [line.decode() for line in tracer.lines]
        for line in lines:
            self.assertRegex(line, r"^\S+ [0-9]+\n$")
        for function in REASONS:
            stack = f"wl_blocker;.*;main;all_rounds;one_round;{function};-;.*sys.* ([0-9]+)\n"
            found = [int(m.group(1)) for m in (re.fullmatch(stack, line) for line in lines) if m]
            self.check_time(sum(found), account[function])

    @live.on_any_kernel
    def test_text_fits_80_columns(self):
        blocker = self.enter(Blocker(3, 20))
        # All: by their time the workload's are about equal.
        tracer = self.enter(live.Tracer("offcputime", "--pid", blocker.pid, "--top", 50))
        tracer.wait_attached()
        tracer.wait_poll()
        blocker.begin()
        blocker.account()
        self.assertEqual(tracer.stop(), 0)
        text = b"".join(tracer.lines).decode()
        for function in REASONS:
            self.assertIn(f" {function}\n", text)
        self.assertIn("REASONS", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80, text)


@live.on_any_kernel
class WrongUsage(unittest.TestCase):
    def refuse(self, *arguments):
        with self.subTest(arguments=arguments):
            live.check_failure(self, live.run("offcputime", *arguments, "1", "1"), 2, ";")

    def test_bounds(self):
        for bad in ("x", "-1", "nan", "inf", "1e300", "1x", ""):
            self.refuse("--min", bad)
            self.refuse("--max", bad)
        self.refuse("--min", "5", "--max", "4")
        self.refuse("--max", "0.5")

    def test_format(self):
        self.refuse("--format", "flat")
        live.check_failure(self, live.run("runqlat", "--format", "folded", "1", "1"), 2, "folded")


if __name__ == "__main__":
    unittest.main()
