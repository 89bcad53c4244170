# SPDX-License-Identifier: GPL-2.0-only
"""Runs in a lab machine: the live tests and the contract test, one result a line as they come.

usage: inside.py RESULTS BUILD [--filter REGEX] [--done FILE] [--part NUMBER/COUNT]
                 [--share NUMBER/COUNT]

A line is {"id": "truth.Truth.one_process", "outcome": "start" | "pass" | "skip" | "fail" | "elsewhere" |
"on one CPU", "seconds": 1.5, "detail": "why it was skipped or failed"}. Tests whose ids are in FILE are left out.
What failed runs once more at the end, so a test can have two results. Of COUNT parts, each takes every
COUNT-th test: those beside each other take about as long. With --share, tests that are the same on any kernel
do not run, nor those of the other shares: they are "elsewhere". Those that need a machine with one CPU
(linux_guest_live.on_one_cpu) run in one, and no others do; in another they are "on one CPU".
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

TREE = pathlib.Path(__file__).resolve().parents[2]
ONE_CPU = os.cpu_count() == 1
MOST_AGAIN = 5  # with more failures than this something is broken, not unlucky


class Journal:
    def __init__(self, path):
        self._file = open(path, "a", encoding="utf-8")
        self.failed = set()

    def write(self, test, outcome, seconds=0.0, detail=""):
        if outcome == "fail":
            self.failed.add(test)
        line = {"id": test, "outcome": outcome, "seconds": round(seconds, 2), "detail": detail}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


# ---- Python's tests ----


def short_id(test):
    """`test_truth.Truth.test_one_process` is `truth.Truth.one_process`."""
    *_, module, group, name = test.id().split(".")  # of one that cannot be imported: unittest's own
    return f"{module.removeprefix('test_')}.{group}.{name.removeprefix('test_')}"


class Result(unittest.TestResult):
    """One outcome for each test: the worst of its parts."""

    def __init__(self, journal):
        super().__init__()
        self._journal = journal

    def startTest(self, test):
        super().startTest(test)
        self._outcome, self._detail = "pass", []
        self._started = time.monotonic()
        self._journal.write(short_id(test), "start")

    def stopTest(self, test):
        seconds = time.monotonic() - self._started
        self._journal.write(short_id(test), self._outcome, seconds, "\n".join(self._detail))
        super().stopTest(test)

    def _failed(self, test, error):
        self._outcome = "fail"
        self._detail.append(self._exc_info_to_string(error, test))

    def addError(self, test, error):
        if isinstance(test, unittest.TestCase):
            self._failed(test, error)
        else:  # setUpClass or the import of a module
            name = str(test)
            self._journal.write(name, "fail", 0, self._exc_info_to_string(error, test))

    def addFailure(self, test, error):
        self._failed(test, error)

    def addSubTest(self, test, subtest, error):
        if error:
            self._failed(subtest, error)

    def addSkip(self, test, reason):
        if self._outcome == "pass":
            self._outcome = "skip"
        self._detail.append(reason)

    def addUnexpectedSuccess(self, test):
        self._outcome = "fail"
        self._detail.append("an unexpected success")


def flat(suite):
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from flat(part)
        else:
            yield part


def fraction(text):
    number, count = text.split("/")
    return int(number), int(count)


def part_of(tests, number, count):
    return tests[number - 1 :: count]


def marked(test, mark):
    """It has this mark (vtrace_live.on_any_kernel, …), or its class has."""
    name = test.id().rsplit(".", 1)[1]
    return any(getattr(bearer, mark, False) for bearer in (test, getattr(test, name, None)))


def on_any_kernel(test):
    return marked(test, "on_any_kernel")


def on_one_cpu(test):
    return marked(test, "on_one_cpu")


def of_share(tests, share):
    """Of those that depend on the kernel. Not of what is left to do: a share stays the same from boot to boot."""
    return part_of([test for test in tests if not on_any_kernel(test)], *share)


def live_tests():
    """Those of tests/live, in the order of their ids. A file that cannot be imported is one that fails."""
    found = flat(unittest.defaultTestLoader.discover(str(TREE / "tests" / "live")))
    return sorted(found, key=short_id)


def run_live(journal, wanted, part=(1, 1), share=None):
    mine = part_of(live_tests(), *part)
    here = of_share(mine, share) if share else mine
    chosen = [t for t in mine if t.id().startswith("unittest.") or wanted(short_id(t))]
    for test in chosen:
        if test not in here:
            journal.write(short_id(test), "elsewhere")
        elif on_one_cpu(test) and not ONE_CPU:
            journal.write(short_id(test), "on one CPU")
    to_run = [test for test in chosen if test in here and on_one_cpu(test) == ONE_CPU]
    unittest.TestSuite(to_run).run(Result(journal))


# ---- GoogleTest's ----


def run_contract(journal, wanted, build, results):
    """The contract of vmlinux/vmlinux.h with this kernel."""
    program = build / "tests/unit/vtrace_unit"
    listed = subprocess.run(
        [program, "--gtest_filter=Contract.*", "--gtest_list_tests"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in re.findall(r"(?m)^  (\w+)", listed.stdout):
        test = f"contract.Contract.{name}"
        if not wanted(test):
            continue
        journal.write(test, "start")
        report = results / "gtest.json"
        started = time.monotonic()
        done = subprocess.run(
            [program, f"--gtest_filter=Contract.{name}", f"--gtest_output=json:{report}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        outcome, detail = "fail", done.stdout
        if done.returncode == 0:
            case = json.loads(report.read_text())["testsuites"][0]["testsuite"][0]
            skipped = case["result"] == "SKIPPED"
            outcome, detail = ("skip", done.stdout) if skipped else ("pass", "")
        journal.write(test, outcome, time.monotonic() - started, detail)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--filter", default="")
    parser.add_argument("--done", type=pathlib.Path)
    parser.add_argument("--part", type=fraction, default="1/1")
    parser.add_argument("--share", type=fraction)
    arguments = parser.parse_args()

    done = set(arguments.done.read_text().split()) if arguments.done else set()

    def wanted(test):
        return test not in done and re.search(arguments.filter, test)

    os.environ["VTRACE_BUILD"] = str(arguments.build)
    os.environ["VTRACE"] = str(arguments.build / "vtrace")
    journal = Journal(arguments.results / "journal")
    part = arguments.part
    first = part[0] == 1 and not ONE_CPU
    if first:
        run_contract(journal, wanted, arguments.build, arguments.results)
    run_live(journal, wanted, part, arguments.share)
    # For the table of features; it loads each tool once, which takes longer than to boot.
    if first and not arguments.filter:
        subprocess.run(["modprobe", "kvm-amd"], stderr=subprocess.DEVNULL, check=False)
        check = [os.environ["VTRACE"], "check", "--format", "json"]
        with open(arguments.results / "check.json", "wb") as file:
            subprocess.run(check, stdout=file, check=False)
    if len(journal.failed) <= MOST_AGAIN:
        run_live(journal, frozenset(journal.failed).__contains__)


if __name__ == "__main__":
    main()
