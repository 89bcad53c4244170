#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Time off the CPU by stack and reason, against a workload that keeps its own account of it."""

import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
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
# Where the kernel hides that a task comes back (README, offcputime).
KERNEL_NOT_TAKEN = ["[kernel stack not taken]"]


STACKS = BLOCKER.with_name("wl_stacks")
Call = collections.namedtuple("Call", "ns blocked preempted")


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
        """By function, once all is done: its calls."""
        account = json.loads(self.process.stdout.readline())
        return {function: [Call(*call) for call in calls] for function, calls in account.items()}

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
MIN = (1e6, float("inf"))  # ns: the bounds where nothing else was asked for


# Blocks in a function that it has compiled itself: it sleeps for as long as its first argument says.
JIT = r"""
import ctypes, mmap, os, struct, sys
directory = sys.argv[1]
code = bytes.fromhex("55 48 89 e5 b8 23 00 00 00 31 f6 0f 05 5d c3")  # push rbp … nanosleep … pop rbp; ret
protection = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
memory = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=protection)
memory.write(code)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
with open("/proc/self/status") as status:
    pid = next(line for line in status if line.startswith("NSpid:")).split()[-1]
with open(f"{directory}/perf-{pid}.map", "w") as file:
    file.write(f"{address:x} 1000 other code\n{address:x} {len(code):x} JIT:sleep in app.js\n")
sleep = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_char_p)(address)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5):
    sleep(struct.pack("=qq", 0, 20_000_000))
print("done", flush=True)
sys.stdin.read()
os.unlink(f"{directory}/perf-{pid}.map")
"""


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

    def check_figures(self, time, count, calls, bounds=MIN):
        """What a call takes it is off the CPU, but for next to nothing: a block of its length. A call that was
        also preempted, before it blocked, may have had a shorter one, which may not be listed."""
        low, high = bounds
        listed = [c for c in calls if low < c.ns and (c.preempted or c.ns * (1 - TOLERANCE) < high)]
        surely = [c for c in listed if c.blocked and not c.preempted and c.ns * (1 - TOLERANCE) > low and c.ns < high]
        self.assertGreaterEqual(time, (1 - TOLERANCE) * sum(c.ns for c in surely), calls)
        self.assertLessEqual(time, (1 + TOLERANCE) * sum(c.ns for c in listed), calls)
        if count is not None:
            self.assertGreaterEqual(count, len(surely), calls)
            self.assertLessEqual(count, sum(c.blocked for c in listed), calls)
        return surely

    def check(self, stacks, account, bounds=MIN):
        sure = 0
        for function, reason in REASONS.items():
            found = under(stacks, function)
            # On a busy machine it may be preempted there as well.
            blocks = [s for s in found if s["reason"] not in ("runnable", "throttled")]
            sure += len(self.check_figures(figure(found), figure(blocks, "count"), account[function], bounds))
            self.assertLessEqual({s["reason"] for s in blocks}, {reason})
            taken = [s for s in blocks if s["kernel"] != KERNEL_NOT_TAKEN]
            self.assertGreaterEqual(figure(taken, "count"), 0.5 * figure(blocks, "count"), blocks)
            for stack in blocks:
                self.assertEqual(stack["user"][: 1 + len(CALLERS)], [function, *CALLERS])
            for stack in taken:
                self.assertGreater(len(stack["kernel"]), 2, stack)
                self.assertTrue(any("sys" in frame for frame in stack["kernel"]), stack)
        return sure

    def check_all(self, stacks, account, rounds):
        """Each call is there, but for some that the machine disturbed."""
        self.assertGreater(self.check(stacks, account), 0.5 * rounds * len(REASONS), account)

    @live.measured
    def test_times_stacks_and_reasons(self):
        blocker = self.enter(Blocker(20, 20))
        stacks, account = self.measure(blocker)
        self.check_all(stacks, account, 20)

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
        self.check_all(stacks_of(reports, blocker.pid), account, 5)
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
        self.check_all(stacks_of(reports, blocker.pid), account, 5)
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
        found, accounts = self.measure_bounds()
        # On a busy machine some calls of those that are too short are not, and some within the bounds are too long.
        sure = [self.check(stacks, account, (15e6, 55e6)) for stacks, account in zip(found, accounts)]
        self.assertGreater(sure[1], 0, "expected calls within the bounds")
        self.assertEqual(sure[2], 0, "expected the longest to be beyond them")

    @live.measured
    def test_deleted_program_with_a_hostile_name(self):
        directory = self.enter(tempfile.TemporaryDirectory())
        program = pathlib.Path(directory, "a b;c\033[2J")
        shutil.copy(BLOCKER, program)
        blocker = self.enter(Blocker(5, 20, program))
        program.unlink()
        stacks, account = self.measure(blocker)
        self.check_all(stacks, account, 5)
        self.assertEqual({s["comm"] for s in under(stacks, "main")}, {"a b;c\\x1b[2J"})

    @live.measured
    def test_program_of_another_mount_namespace(self):
        directory = self.enter(tempfile.TemporaryDirectory())
        script = f'mount -t tmpfs none "{directory}" && cp "$0" "{directory}/it" && exec "{directory}/it" "$@"'
        prefix = ["unshare", "--mount", "sh", "-c", script]
        blocker = self.enter(Blocker(5, 20, prefix=prefix))
        self.assertEqual(os.listdir(directory), [])
        stacks, account = self.measure(blocker)
        self.check_all(stacks, account, 5)

    def check_compiled_at_run_time(self, *prefix):
        if os.uname().machine != "x86_64":
            self.skipTest("its code is of x86_64")
        load = subprocess.Popen([*prefix, sys.executable, "-c", JIT, "/tmp"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with load:
            self.assertEqual(load.stdout.readline(), "ready\n")
            tracer = self.trace()
            load.stdin.write("\n")
            load.stdin.flush()
            self.assertEqual(load.stdout.readline(), "done\n")
            tracer.wait_report(len(tracer.reports()) + 2)
            tracer.stop()
            load.stdin.close()
        found = [s for r in tracer.reports() for row in r["rows"] for s in row["stacks"]
                 if s["user"][:1] == ["JIT:sleep in app.js"]]
        self.assertEqual(figure([s for s in found if s["reason"] == "sleep"], "count"), 5)
        return {s["pid"] for s in found}, load.pid

    def test_compiled_at_run_time(self):
        pids, pid = self.check_compiled_at_run_time()
        self.assertEqual(pids, {pid})

    def test_compiled_at_run_time_in_a_container(self):
        """Its number is another there, and so is /tmp."""
        script = 'mount -t tmpfs none /tmp && exec "$@"'
        self.check_compiled_at_run_time("unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
                                        "sh", "-c", script, "sh")
        self.assertFalse(os.path.exists("/tmp/perf-1.map"))

    @live.measured
    def test_process_that_ends_before_the_report(self):
        blocker = self.enter(Blocker(10, 20))
        tracer = self.trace(interval=3)
        blocker.begin()
        account = blocker.account()
        blocker.end()
        tracer.wait_report(2)
        tracer.stop()
        self.check_all(stacks_of(tracer.reports(), blocker.pid), account, 10)

    @unittest.skipIf(live.EMULATED, "emulated, no notice is lost")
    def test_stacks_that_nobody_was_told_of_are_named_late(self):
        """While vtrace stands still there is no room for all that it is to be told of."""
        depth = 13
        load = subprocess.Popen([STACKS, str(depth)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with load:
            self.assertEqual(load.stdout.readline(), "ready\n")
            tracer = self.trace("--pid", load.pid, "--min", "0")
            tracer.process.send_signal(signal.SIGSTOP)
            load.stdin.write("\n")
            load.stdin.flush()
            self.assertEqual(load.stdout.readline(), "done\n")
            tracer.process.send_signal(signal.SIGCONT)
            live.until(lambda: live.losses(tracer.reports(), "stacks_unnoticed"), "a report that says so")
            tracer.wait_report(len(tracer.reports()) + 1)
            tracer.stop()
            reports = tracer.reports()
            load.stdin.close()
        unnoticed = live.losses(reports, "stacks_unnoticed")
        print(f"\n    {unnoticed} of {2 ** depth} stacks unnoticed", flush=True)
        self.assertGreater(unnoticed, 2**depth // 4)
        self.assertLessEqual(unnoticed, 2**depth + 100)
        found = stacks_of(reports, load.pid)
        self.assertEqual([s for s in found if s["user"] == ["[process ended]"]], [])
        sleeps = [s for s in under(found, "descend") if s["reason"] == "sleep"]
        for stack in sleeps:
            self.assertEqual(stack["user"].count("descend"), depth)  # libc hides the innermost
        # So short a sleep may be over before the task has left its CPU.
        self.assertGreater(figure(sleeps, "count"), 0.95 * 2**depth, "expected each to be named")
        self.assertLessEqual(figure(sleeps, "count"), 2**depth)

    def test_in_another_time_namespace(self):
        """What is measured is right, but which process in /proc it is of is not known."""
        if not os.path.exists("/proc/self/ns/time"):
            self.skipTest("no time namespaces: a kernel before 5.6, or without them")
        blocker = self.enter(Blocker(5, 20))
        prefix = ("unshare", "--time", "--boottime", "100000", "--fork", "--kill-child")
        with live.Tracer("offcputime", "--format", "json", 1, 4, prefix=prefix) as tracer:
            tracer.wait_report()
            blocker.begin()
            account = blocker.account()
            self.assertEqual(tracer.wait(), 0)  # a signal would be lost: unshare passes none on
            reports = tracer.reports()
        found = stacks_of(reports, blocker.pid)
        names = {name for stack in found for name in stack["user"]}
        self.assertLessEqual(names, {"[unknown]", "[user stack not taken]"})
        for reason in REASONS.values():
            self.assertTrue([s for s in found if s["reason"] == reason], reason)
        called = sum(call.ns for calls in account.values() for call in calls)
        self.assertGreater(figure(found), 0.95 * called)
        for report in reports:
            self.assertIn("time namespace", str(report["loss"]["fallbacks"]))

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
            self.check_figures(sum(found), None, account[function])

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

    def test_pid_namespace(self):
        for options in (["--mount-proc"], []):
            result = live.run("offcputime", "1", "1", prefix=["unshare", "--pid", "--fork", *options])
            live.check_failure(self, result, 3, "PID namespace", "of the host")

    def test_format(self):
        self.refuse("--format", "flat")
        live.check_failure(self, live.run("runqlat", "--format", "folded", "1", "1"), 2, "folded")


if __name__ == "__main__":
    unittest.main()
