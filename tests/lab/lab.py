# SPDX-License-Identifier: GPL-2.0-only
"""The kernel lab: `./dev lab` boots Debian's kernels and runs the live tests in each."""

import argparse
import collections
import concurrent.futures
import fcntl
import functools
import itertools
import json
import os
import pathlib
import shlex
import shutil
import signal
import sys
import threading
import time

import expected
import kernels
import table
from machine import TREE, Machine

BUILD = TREE / "build"
LAB = BUILD / "lab"
README = TREE / "README.md"
PATIENCE = 180  # seconds without a word until a machine counts as hung
BOOTS = 3  # of one kernel: the first, and one more after each hang or panic

EPILOG = """examples:
  ./dev lab                        the five kernels, all tests
  ./dev lab --share                in less than half the time: each test on two of them
  ./dev lab 6.1 newest             these two
  ./dev lab 5.10 -- truth          the tests whose name matches `truth`
  ./dev lab 6.19                   any other series that Debian has
  ./dev lab shell 6.12             a root shell in that kernel
  ./dev lab --bench 6.1            the cost there, beside the peers (ratios)

Kernels are kept in ~/.cache/vtrace-lab ($XDG_CACHE_HOME), what a machine said in
build/lab/KERNEL."""


class Progress:
    """Lines on stderr as things happen; on a terminal the last one is kept up to date."""

    def __init__(self):
        self._lock = threading.Lock()
        self._now = {}
        self._terminal = sys.stderr.isatty()

    def say(self, text):
        with self._lock:
            self._clear()
            print(f"lab: {text}", file=sys.stderr, flush=True)

    def now(self, series, text):
        if not self._terminal:
            return
        with self._lock:
            self._now[series] = text
            self._clear()
            width = max(20, shutil.get_terminal_size().columns - 1)
            line = "  ".join(f"{k}: {v}" for k, v in self._now.items() if v)
            print(line[:width], end="", file=sys.stderr, flush=True)

    def _clear(self):
        if self._terminal:
            print("\r\033[K", end="", file=sys.stderr)


def parts_of(count, jobs, whole):
    """In how many parts, each a machine of its own, the tests of each of `count` kernels run: more than one
    where else machines would have nothing to do at the end. A part costs a boot."""
    left = 0 if whole else count % jobs
    return [1] * (count - left) + [jobs] * left


def shares_of(count, shared):
    """Which tests run on each of `count` kernels: all on the first and the last, and on those between the tests that
    depend on the kernel; or, `shared`, all on the first, and a share of those that depend on it on each other one."""
    if shared:
        return [None, *((number, count - 1) for number in range(1, count))]
    return [None, *[(1, 1)] * (count - 2), None][: max(count, 1)]


class Run:
    """The tests on one kernel, or the `part` (number, count) of them, in as many boots as it takes.

    `share`: None takes all tests, (number, count) of those that depend on the kernel this share."""

    def __init__(self, kernel, part, share, pattern, progress, stopping):
        self.kernel = kernel
        self.part = part
        self.share = share
        self.pattern = pattern
        self.progress = progress
        self.stopping = stopping
        self.name = kernel.series + (f" ({part[0]}/{part[1]})" if part[1] > 1 else "")
        self.directory = LAB / kernel.series / (f"part-{part[0]}" if part[1] > 1 else "")
        self.outcomes = {}  # id: (outcome, seconds, detail)
        self.unsteady = {}  # id: why it failed before it passed
        self.checks = []
        self.on_one_cpu = set()  # ids of tests that need a machine with one CPU
        self.first_test = None  # seconds from power-on to the first test
        self.died_in = collections.Counter()
        self.notes = []

    def run(self):
        started = time.monotonic()
        self._boots(cpus=2)
        if self.on_one_cpu and not self.stopping.is_set():
            self._boots(cpus=1)
        self.progress.now(self.name, "")
        seconds = time.monotonic() - started
        ran = sum(outcome != "elsewhere" for outcome, _, _ in self.outcomes.values())
        self.progress.say(f"{self.name}: {ran} tests in {seconds:.0f} s")
        return self

    def join(self, other):
        """Takes the results of another part."""
        self.outcomes |= other.outcomes
        self.unsteady |= other.unsteady
        self.notes += other.notes
        self.checks = self.checks or other.checks
        self.first_test = self.first_test or other.first_test
        return self

    def _boots(self, cpus):
        for boot in range(BOOTS):
            if self._boot(boot, cpus) or self.stopping.is_set():
                break

    def _boot(self, number, cpus):
        """One machine until its tests are through (True) or it hangs, dies, or is told to stop."""
        results = self.directory / ("results" if cpus > 1 else "results-one-cpu")
        journal = results / "journal"
        done = " ".join(self.outcomes)
        command = (
            f"export PYTHONDONTWRITEBYTECODE=1\n"
            f"echo {shlex.quote(done)} >/tmp/lab-done\n"
            f"exec python3 {shlex.quote(str(TREE / 'tests/lab/inside.py'))} /run/lab"
            f" {shlex.quote(str(BUILD))} --done /tmp/lab-done --filter {shlex.quote(self.pattern)}"
            f" --part {self.part[0]}/{self.part[1]}"
            + (f" --share {self.share[0]}/{self.share[1]}" if self.share else "")
        )
        with Machine(self.kernel, command, results, cpus) as machine:
            current, read, heard = None, 0, time.monotonic()
            while True:
                running = machine.running()
                lines = journal.read_text().splitlines(keepends=True) if journal.exists() else []
                for line in lines[read:]:
                    if not line.endswith("\n"):
                        break
                    read += 1
                    heard = time.monotonic()
                    current = self._note(json.loads(line), machine)
                if not running:
                    break
                if time.monotonic() - heard > PATIENCE or self.stopping.is_set():
                    break
                time.sleep(0.1)
            check = results / "check.json"
            if check.exists() and check.stat().st_size and not self.checks:
                self.checks = json.loads(check.read_text())["checks"]
            if machine.status == 0 or self.stopping.is_set():
                return True
            what = "hung" if machine.running() else "died"
            if machine.status is not None:
                what = f"ended with exit code {machine.status}"
            why = machine.why_dead()

        where = current or "outside of any test"
        self.notes.append(f"{self.name}: the machine {what}: {where} (boot {number + 1})")
        self.progress.say(self.notes[-1])
        self.died_in[where] += 1
        # Once can be the emulation's fault. Twice in the same test is not: on with the others.
        if self.died_in[where] == 2 or number + 1 == BOOTS:
            self.outcomes[current or "machine"] = ("fail", 0.0, "\n".join([f"the machine {what}", *why]))
        return False

    def _note(self, entry, machine):
        if entry["outcome"] == "start":
            if self.first_test is None:
                self.first_test = machine.seconds()
            self.progress.now(self.name, f"{len(self.outcomes) + 1} {entry['id']}")
            return entry["id"]
        test, outcome = entry["id"], entry["outcome"]
        if outcome == "on one CPU":
            self.on_one_cpu.add(test)
            return None
        before = self.outcomes.get(test)
        self.outcomes[test] = (outcome, entry["seconds"], entry["detail"])
        if outcome == "fail":
            self.progress.say(f"{self.name}: FAILED {test}")
        elif before:
            self.unsteady[test] = before[2]
            self.progress.say(f"{self.name}: passed when run again: {test}")
        return None

    def judged(self, known, complete):
        column = {}
        for test, (outcome, seconds, detail) in self.outcomes.items():
            wrong = expected.judge(known, self.kernel.series, test, outcome, detail)
            column[test] = table.Outcome(outcome, seconds, detail, wrong)
        if complete:
            for test in known.keys() - column.keys():
                column[test] = table.Outcome("fail", 0.0, "", "did not run")
        return column


# ---- commands ----


def get_kernels(wanted, offline, progress):
    """The kernels, and the series that an --offline run has to leave out."""
    found, missing = [], []
    for series in wanted:
        try:
            progress.now("fetching", series)
            kernel = kernels.get(series, offline)
        except kernels.FetchError as error:
            if not offline:
                sys.exit(f"lab: cannot have kernel {series}: {error}\n"
                         "lab: --offline goes on with those in the cache; VTRACE_LAB_MIRROR=URL names a mirror")
            missing.append(series)
            progress.say(f"{series}: SKIPPED, {error} (--offline)")
            continue
        finally:
            progress.now("fetching", "")
        progress.say(f"{series}: {kernel.release} ({kernel.package})")
        found.append(kernel)
    return found, missing


def indented(detail):
    """The end of what a test said."""
    return "\n".join("    " + line for line in detail.splitlines()[-25:])


def run_tests(arguments, progress):
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    wanted = arguments.kernels or list(kernels.SERIES)
    found, missing = get_kernels(wanted, arguments.offline, progress)
    counts = parts_of(len(found), arguments.jobs, whole=arguments.filter or arguments.share)
    shares = [None] * len(found) if arguments.filter else shares_of(len(found), arguments.share)
    parts = [
        [
            Run(kernel, (number, count), share, arguments.filter, progress, stopping)
            for number in range(1, count + 1)
        ]
        for kernel, count, share in zip(found, counts, shares)
    ]
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        queue = list(itertools.chain.from_iterable(parts))
        if arguments.share:  # the longest first: none is split
            queue.sort(key=lambda run: run.share is not None)
        list(pool.map(Run.run, queue))
    runs = [functools.reduce(Run.join, of_one) for of_one in parts]
    if stopping.is_set():
        progress.say("stopped")
        return 130

    known = expected.load()
    if arguments.accept:
        for run in runs:
            for test, (outcome, _, detail) in run.outcomes.items():
                if outcome not in ("pass", "skip"):
                    continue
                where = known.setdefault(test, {})
                if "*" in where:
                    where.update(dict.fromkeys(kernels.SERIES, where.pop("*")))
                where.pop(run.kernel.series, None)
                if outcome == "skip":
                    where[run.kernel.series] = detail
        if not arguments.filter and not any(run.notes for run in runs):
            seen = {test for run in runs for test in run.outcomes}
            known = {test: where for test, where in known.items() if test in seen}
        expected.FILE.write_text(expected.dump(known))

    columns = {r.kernel.series: r.judged(known, not arguments.filter) for r in runs}
    if columns:
        print(table.results(columns, sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    red = collections.defaultdict(list)  # what is wrong: the kernels
    for series, column in columns.items():
        for test, outcome in column.items():
            if outcome.wrong:
                tail = indented(outcome.detail) if outcome.outcome == "fail" else ""
                red[(test, outcome.wrong, tail)].append(series)
    for (test, wrong, tail), where in sorted(red.items()):
        print(f"\n{', '.join(where)}: {test}: {wrong}")
        if tail:
            print(tail)
    for run in runs:
        for test, detail in run.unsteady.items():
            print(f"\n{run.kernel.series}: {test}: failed, then passed when run again")
            print(indented(detail))
    print()
    for note in [note for run in runs for note in run.notes]:
        print(f"lab: {note}")
    for run in runs:
        good = not any(outcome.wrong for outcome in columns[run.kernel.series].values())
        print(
            f"lab: {run.kernel.series} ({run.kernel.release}): "
            f"{'as expected' if good else 'RED'}; boot to first test {run.first_test or 0:.1f} s"
        )
    if missing:
        print(f"lab: SKIPPED, not in the cache (--offline): {', '.join(missing)}")
    stale = not red and check_readme(arguments, runs, columns)
    empty = found and not any(columns.values())
    if empty:
        print("lab: no test matches")
    return 1 if red or stale or empty else 0


def check_readme(arguments, runs, columns):
    """True if the README's table of kernels does not say what this run found."""
    if arguments.filter or [run.kernel.series for run in runs] != list(kernels.SERIES):
        return False
    good = {series: not any(o.wrong for o in column.values()) for series, column in columns.items()}
    block = table.features([(r.kernel.series, r.checks, good[r.kernel.series]) for r in runs])
    text = README.read_text()
    if table.in_readme(text) == block:
        return False
    if arguments.accept:
        README.write_text(table.with_block(text, block))
        return False
    print("lab: README.md has another table of kernels than this run found: ./dev lab --accept")
    print(block, end="")
    return True


def run_shell(arguments, progress):
    (kernel,), _ = get_kernels(arguments.kernels, arguments.offline, progress)
    progress.say("a root shell in some 10 s; `exit` or Ctrl-D ends the machine, so does Ctrl-A X")
    size = shutil.get_terminal_size()
    command = (
        f"stty rows {size.lines} cols {size.columns}; export TERM={shlex.quote(os.environ.get('TERM', 'dumb'))}\n"
        f"cd {shlex.quote(str(TREE))} && exec bash -i"
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the shell in there
    with Machine(kernel, command, LAB / kernel.series / "shell", shell=True) as machine:
        machine.process.wait()
    return 0


def run_bench(arguments, progress):
    """The bench's small parts in each kernel: ratios, as TCG's nanoseconds mean nothing."""
    found, missing = get_kernels(arguments.kernels or list(kernels.SERIES), arguments.offline, progress)
    failed = list(missing) if not arguments.offline else []
    command = (
        f"export PYTHONDONTWRITEBYTECODE=1; cd {shlex.quote(str(TREE))} && modprobe kvm-amd;"
        " for part in small kvm guest; do"
        " python3 tests/bench/bench.py --only $part --ratios --rounds 3 --seconds 1 2>>/run/lab/log; done"
    )
    for kernel in found:
        results = LAB / kernel.series / "bench"
        progress.say(f"{kernel.series}: measuring, some minutes")
        with Machine(kernel, command, results) as machine:
            while machine.running() and machine.seconds() < 1500:
                time.sleep(0.2)
            log = [results / name for name in ("output", "log")]
            output, errors = (f.read_text() if f.exists() else "" for f in log)
            print(output)
            # A peer that cannot run there is a finding, not a failure.
            print("\n".join(line for line in errors.splitlines() if "not measured" in line))
            if "| vtrace runqlat" not in output:
                failed.append(kernel.series)
                print("\n".join(machine.why_dead()))
    if failed:
        print(f"lab: FAILED: {', '.join(failed)}")
    return 1 if failed else 0


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="./dev lab",
        usage="%(prog)s [OPTIONS] [KERNEL...] [-- FILTER]\n       %(prog)s shell KERNEL",
        description="Boots kernels in QEMU and runs the live tests in each.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help="5.10, 6.1, …, newest")
    parser.add_argument("--offline", action="store_true", help="only kernels in the cache; skip others")
    parser.add_argument("--share", action="store_true",
                        help="the kernels but for the first share the tests")
    parser.add_argument("--bench", action="store_true", help="cost per event there, as ratios")
    parser.add_argument("--accept", action="store_true", help="write expected.toml and README's table")
    parser.add_argument("--jobs", type=int, metavar="N", default=os.cpu_count(),
                        help="machines at once (default: one per CPU)")
    own, tests = argv, []
    if "--" in argv:
        own, tests = argv[: argv.index("--")], argv[argv.index("--") + 1 :]
    arguments = parser.parse_args(own)
    arguments.filter = "|".join(tests)
    arguments.shell = arguments.kernels[:1] == ["shell"]
    if arguments.shell:
        arguments.kernels = arguments.kernels[1:]
        if len(arguments.kernels) != 1:
            parser.error("shell takes one KERNEL")
    for series in arguments.kernels:
        if not kernels.is_series(series):
            parser.error(f"{series!r} is not a series of kernels, as in 6.1 or newest")
    return arguments


def main():
    arguments = parse(sys.argv[1:])
    LAB.mkdir(parents=True, exist_ok=True)
    progress = Progress()
    with open(LAB / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("lab: another lab is running in this checkout")
        if arguments.shell:
            return run_shell(arguments, progress)
        if arguments.bench:
            return run_bench(arguments, progress)
        return run_tests(arguments, progress)


if __name__ == "__main__":
    sys.exit(main())
