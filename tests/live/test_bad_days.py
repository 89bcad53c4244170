#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Bad days: missing privileges and mounts, full disks, hostile names, kills. A right answer or one line."""

import fcntl
import json
import os
import pathlib
import re
import resource
import signal
import struct
import subprocess
import termios
import time
import unittest

import vtrace_live as live

REPORT = ("runqlat", "--cgroup", "--format", "json", "0.2", "2")
HOSTILE_NAME = '-a b\t"c"\\\x1b[31m;$(x)\x7f é日本'.encode() + b"\xff\xfe"
HOSTILE_COMM = b'\x1b[2J\n\r"\xff\xc3\x07\\e'  # 15 bytes at most


def printable(test, raw):
    """Text that cannot drive a terminal, and is UTF-8."""
    text = raw.decode("utf-8")  # raises on anything else
    bad = [c for c in text if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) <= 0x9F]
    test.assertEqual(bad, [], "expected no control characters in the output")
    return text


def strings(value):
    """Every string in a JSON document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


class Privileges(unittest.TestCase):
    def run_as_nobody(self, capabilities, *arguments):
        with live.binary_copy() as copy:
            return live.run(*arguments, prefix=live.as_nobody(*capabilities), binary=copy)

    def test_none(self):
        live.check_failure(self, self.run_as_nobody((), *REPORT), 3, "CAP_BPF", "CAP_PERFMON", ";")

    def test_bpf_only(self):
        result = self.run_as_nobody(("bpf",), *REPORT)
        live.check_failure(self, result, 3, "CAP_PERFMON missing")
        self.assertNotIn("CAP_BPF and", result.err, "expected only what is missing to be named")

    def test_perfmon_only(self):
        result = self.run_as_nobody(("perfmon",), *REPORT)
        live.check_failure(self, result, 3, "CAP_BPF missing")

    def test_both_are_enough(self):
        with live.binary_copy() as copy, live.Cgroup() as cgroup:
            with live.Child(live.naps(50), cgroup) as child, live.Tracer(
                "runqlat", "--cgroup", "--format", "json", "0.2",
                prefix=live.as_nobody("bpf", "perfmon"), binary=copy,
            ) as tracer:
                first = tracer.wait_report()
                before = live.schedstat(child.pid)
                child.ask()
                after = live.schedstat(child.pid)
                self.assertEqual(tracer.stop(), 0, f"expected exit code 0: {tracer.err}")
                reports = tracer.reports(first)
                last = live.schedstat(child.pid)
        # The window begins before the first and ends after the second look at the kernel's figures.
        self.assertGreaterEqual(live.total(reports, cgroup.path), after[2] - before[2],
                                "expected the waits that the kernel counted")
        self.assertGreaterEqual(live.total(reports, cgroup.path, "sum"), after[1] - before[1],
                                "expected the time that the kernel counted")
        self.assertLessEqual(live.total(reports, cgroup.path), last[2] - before[2] + 2,
                             "expected no more waits than the kernel counted")

    def test_file_capabilities(self):
        with live.binary_copy() as copy:
            subprocess.run(["setcap", "cap_bpf,cap_perfmon+ep", copy], check=True)
            result = live.run(*REPORT, prefix=live.as_nobody(), binary=copy)
        self.assertEqual((result.code, result.err), (0, ""), "expected file capabilities to do")
        self.assertEqual(len(result.out.splitlines()), 2, "expected 2 reports")

    def test_overhead_needs_sys_admin(self):
        result = self.run_as_nobody(("bpf", "perfmon"), *REPORT, "--overhead")
        live.check_failure(self, result, 3, "--overhead", "CAP_SYS_ADMIN")

    def test_check_says_what_is_missing(self):
        result = self.run_as_nobody((), "check")
        self.assertEqual(result.code, 3, "expected exit code 3")
        self.assertRegex(result.out, r"(?m)^CAP_BPF +no ", "expected the list to name CAP_BPF")
        self.assertRegex(result.out, r"(?m)^runqlat +no ", "expected the list to name the tool")
        live.check_one_line(self, result.err)

    def test_low_memlock(self):
        result = live.run(
            *REPORT,
            prefix=["setpriv", "--inh-caps=-sys_resource", "--bounding-set=-sys_resource"],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096)),
        )
        if live.counts_locked_memory():
            live.check_failure(self, result, 3, "RLIMIT_MEMLOCK is 4 KiB", "ulimit -l unlimited")
            return
        self.assertEqual((result.code, result.err), (0, ""), "expected a low RLIMIT_MEMLOCK to do")
        self.assertEqual(len(result.out.splitlines()), 2, "expected 2 reports")


class Mounts(unittest.TestCase):
    def test_no_btf(self):
        hide = live.private_mounts("mount -t tmpfs none /sys/kernel/btf")
        live.check_failure(self, live.run(*REPORT, prefix=hide), 3, "/sys/kernel/btf", "CONFIG_DEBUG_INFO_BTF")

    def test_no_tracefs(self):
        script = """
            while read -r _ _ _ _ point rest; do
                case "${rest#* - }" in
                tracefs*|debugfs*|bpf*) umount -l "$(printf '%b' "$point")" || exit 9;;
                esac
            done < /proc/self/mountinfo
            ! grep -Eq ' - (tracefs|debugfs|bpf) ' /proc/self/mountinfo
        """
        result = live.run(*REPORT, prefix=live.private_mounts(script))
        self.assertEqual((result.code, result.err), (0, ""), "expected no need for these mounts")
        self.assertEqual(len(result.out.splitlines()), 2, "expected 2 reports")

    def test_no_cgroups(self):
        script = "umount -l -R /sys/fs/cgroup; ! grep -q ' - cgroup' /proc/self/mountinfo"
        if not live.hierarchy().mount.startswith("/sys/fs/cgroup"):
            self.skipTest("missing: the cgroup hierarchy below /sys/fs/cgroup")
        result = live.run(*REPORT, prefix=live.private_mounts(script))
        live.check_failure(self, result, 3, "cgroup", "mount")


@live.on_any_kernel
class Output(unittest.TestCase):
    def test_closed_stdout(self):
        for arguments in (REPORT, ("list",), ("check",), ("--help",), ("completion",)):
            with self.subTest(arguments=arguments):
                result = live.run(*arguments, prefix=["sh", "-c", 'exec "$@" >&-', "sh"])
                live.check_failure(self, result, 1, "stdout")

    def test_full_stdout(self):
        with open("/dev/full", "wb") as full:
            for arguments in (REPORT, ("list",), ("--version",)):
                with self.subTest(arguments=arguments):
                    result = live.run(*arguments, stdout=full)
                    live.check_failure(self, result, 1, "stdout", "No space left on device")

    def test_full_disk(self):
        result = live.run(*REPORT, "--output", "/dev/full")
        live.check_failure(self, result, 1, "/dev/full", "No space left on device")

    def test_output_that_cannot_be_made(self):
        result = live.run(*REPORT, "--output", "/no/such/directory/file")
        live.check_failure(self, result, 1, "/no/such/directory/file", "No such file or directory")
        live.check_failure(self, live.run(*REPORT, "--output", "/"), 1, "/", "directory")

    def test_reader_goes_away(self):
        process = subprocess.Popen(live.command("runqlat", "--format", "json", "0.1"),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with process:
            try:
                self.assertIn(b'"rows"', process.stdout.readline(), "expected a first report")
                process.stdout.close()
                code = process.wait(live.PATIENCE)
            finally:
                process.kill()
            error = process.stderr.read().decode()
        self.assertEqual(code, 1, f"expected exit code 1, not a signal: {error}")
        live.check_one_line(self, error)
        self.assertIn("Broken pipe", error, "expected the reason")

    def test_closed_stderr(self):
        result = live.run("runqlat", "0", prefix=["sh", "-c", 'exec "$@" 2>&-', "sh"])
        self.assertEqual((result.code, result.out), (2, ""), "expected nothing but the exit code")


class Ends(unittest.TestCase):
    def test_signals_print_the_last_report(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number=number), live.Tracer(
                "runqlat", "--cgroup", "--format", "json", "600"
            ) as tracer:
                tracer.wait_attached()
                self.assertEqual(tracer.stop(number), 0, "expected exit code 0")
                self.assertEqual(len(tracer.reports()), 1, "expected the report of the short window")
                self.assertEqual(tracer.err, b"", "expected nothing on stderr")
                self.assertLess(tracer.reports()[0]["duration_ns"], 600e9,
                                "expected the true length of the window")

    def test_without_interval(self):
        with live.Tracer("runqlat") as tracer:
            tracer.wait_attached()
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
            self.assertIn(b"count", b"".join(tracer.lines), "expected a report")

    def test_second_signal_ends_at_once(self):
        # A reader that does not read holds the first signal up: vtrace is writing its report.
        read_end, write_end = os.pipe()
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
        with live.Child(live.yields, cpu=live.last_cpu()), live.Child(live.yields, cpu=live.last_cpu()):
            process = subprocess.Popen(
                live.command("runqlat", "--slower", "0.001", "--format", "json"),
                stdout=write_end, stderr=subprocess.PIPE)
            os.close(write_end)
            with process:
                try:
                    live.until(lambda: pipe_bytes(read_end) >= 3000, "the pipe is full")
                    process.send_signal(signal.SIGINT)
                    live.until(lambda: not catches(process.pid, signal.SIGINT), "the first SIGINT is taken")
                    self.assertIsNone(process.poll(), "expected vtrace to wait for its reader")
                    process.send_signal(signal.SIGINT)
                    self.assertEqual(process.wait(live.PATIENCE), -signal.SIGINT,
                                     "expected the second SIGINT to end it")
                finally:
                    process.kill()
                    os.close(read_end)

    def test_kill_leaves_nothing(self):
        with live.Tracer("runqlat", "--cgroup", "--slower", "10", "--overhead", "--format", "json", "0.1") as tracer:
            tracer.wait_report()
            held = live.bpf_ids(tracer.pid)
            for kind, ids in held.items():
                self.assertTrue(ids, f"expected vtrace to hold BPF objects of kind {kind}")
            on_host = live.bpf_ids_on_host()
            for kind in ("prog", "map", "link"):
                self.assertLessEqual(held[kind], on_host[kind], f"expected bpftool to list each {kind}")
            tracer.process.kill()
            tracer.wait()

        def gone():
            on_host = live.bpf_ids_on_host()
            return not any(held[kind] & on_host[kind] for kind in held)

        live.until(gone, "programs, maps and links go with the killed vtrace", every=0.1)


def pipe_bytes(fd):
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]


def catches(pid, number):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    mask = int(re.search(r"(?m)^SigCgt:\s+([0-9a-f]+)$", status).group(1), 16)
    return bool(mask >> (number - 1) & 1)


@live.on_any_kernel
class Names(unittest.TestCase):
    def throttled(self, suffix=b"", comm=None, busy=live.spin):
        """A cgroup with a quota of 1 ms and a child in it that waits nearly all the time."""
        cgroup = live.Cgroup(suffix)
        self.addCleanup(cgroup.remove)
        cgroup.limit(1000, 100_000)
        child = live.Child(busy, name=comm)
        self.addCleanup(child.stop)
        cgroup.add(child.pid)
        return cgroup, child

    def test_hostile_comm(self):
        _, child = self.throttled(comm=HOSTILE_COMM)
        with self.subTest("text"), live.Tracer("runqlat", "--cgroup", "--slower", "20", "0.3") as tracer:
            tracer.wait_line(lambda line: f"({child.pid})".encode() in line, "a single wait of the child")
            tracer.wait_line(lambda line: f"(tid {child.pid})".encode() in line, "an open wait of the child")
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
            text = printable(self, b"".join(tracer.lines))
            self.assertIn("\\x1b", text, "expected the name escaped; a column may be too narrow for all of it")
        with self.subTest("json"), live.Tracer(
            "runqlat", "--cgroup", "--slower", "20", "--format", "json", "0.3"
        ) as tracer:
            tracer.wait_line(lambda line: b'"event"' in line and b'"tid":%d,' % child.pid in line,
                             "a single wait of the child")
            tracer.wait_line(lambda line: b'"rows"' in line and b'"tid":%d,' % child.pid in line,
                             "an open wait of the child")
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
            printable(self, b"".join(tracer.lines))
            for document in tracer.documents():
                for text in strings(document):
                    printable(self, text.encode())
            names = {e["comm"] for e in tracer.events() if e["tid"] == child.pid}
        self.assertEqual(names, {'\\x1b[2J\\x0a\\x0d"\\xff\\xc3\\x07\\e'}, "expected the name escaped")

    def test_hostile_cgroup(self):
        for suffix in (HOSTILE_NAME, b"-" + b"n" * 200):
            suffix = suffix.ljust(254 - len(live.new_name()), b"y")
            cgroup, _ = self.throttled(suffix)
            with self.subTest(suffix=suffix):
                self.check_hostile(cgroup)

    def check_hostile(self, cgroup):
        with live.Tracer("runqlat", b"--cgroup=" + cgroup.directory, "--slower", "20",
                         "--format", "json", "0.3") as tracer:
            tracer.wait_line(lambda line: b'"event"' in line, "a single wait")
            tracer.wait_report(2)
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
            printable(self, b"".join(tracer.lines))
            reports = tracer.reports()
        rows = [row for report in reports for row in report["rows"]]
        self.assertEqual({row["entity"]["id"] for row in rows}, {cgroup.id}, "expected the cgroup alone")
        name = rows[0]["entity"]["cgroup"]
        for text in strings(reports):
            printable(self, text.encode())
        self.assertEqual(unescape(name), os.fsencode(cgroup.path), "expected the whole name, escaped")
        with live.Tracer("runqlat", b"--cgroup=" + cgroup.directory, "--slower", "20", "0.3") as tracer:
            tracer.wait_line(lambda line: line.startswith(b"/vtrace-test-"), "the histogram of the cgroup")
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
            printable(self, b"".join(tracer.lines))


def unescape(text):
    """The raw bytes of an escaped name (in which a backslash of its own stands for itself)."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m.group(1), 16)]), text.encode())


class Cgroups(unittest.TestCase):
    # vtrace makes room when it polls, about ten times a second. A host that makes cgroups faster than
    # this sees `other` and map_full.
    CGROUPS_PER_POLL = 20

    def nap_in(self, cgroup):
        with live.Child(live.naps(5), cgroup) as child:
            child.ask()

    def test_removed_while_traced(self):
        cgroup = live.Cgroup()
        with live.Tracer("runqlat", "--cgroup", "--format", "json", "0.3") as tracer:
            tracer.wait_report()
            try:
                self.nap_in(cgroup)
            finally:
                cgroup.remove()
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
            rows = [r for r in map(lambda d: live.row_of(d, cgroup.path), tracer.reports()) if r]
        self.assertTrue(rows, "expected the cgroup to keep its path")
        self.assertTrue(rows[-1]["entity"].get("ended"), "expected the cgroup to be marked as ended")

    def test_lives_for_50_ms(self):
        with live.Tracer("runqlat", "--cgroup", "--format", "json", "600") as tracer:
            tracer.wait_attached()
            cgroup = live.Cgroup()
            end = time.monotonic() + 0.05
            try:
                with live.Child(live.naps(5), cgroup) as child:
                    child.ask()
                    while time.monotonic() < end:
                        time.sleep(0.001)
            finally:
                cgroup.remove()
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
            row = live.row_of(tracer.reports()[0], cgroup.path)
        self.assertIsNotNone(row, "expected the path of a cgroup that is gone since long")
        self.assertGreaterEqual(row["metrics"]["wait"]["count"], 1, "expected its waits")
        self.assertTrue(row["entity"].get("ended"), "expected it to be marked as ended")

    def test_200_one_after_the_other(self):
        paths, expected = [], 0
        with live.Cgroup() as home, live.Child(live.naps(3)) as child, live.Tracer(
            "runqlat", "--cgroup", "--format", "json", "0.3"
        ) as tracer:
            first = tracer.wait_report()
            for number in range(200):
                if number % self.CGROUPS_PER_POLL == 0:
                    tracer.wait_poll()
                with live.Cgroup() as cgroup:
                    paths.append(cgroup.path)
                    # Else a wait may lie across the move.
                    live.until(lambda: live.state(child.pid) == "S", "the task sleeps", every=0.001)
                    before = live.schedstat(child.pid)
                    try:
                        cgroup.add(child.pid)
                        child.ask()
                        live.until(lambda: live.state(child.pid) == "S", "the task sleeps", every=0.001)
                        expected += live.schedstat(child.pid)[2] - before[2]
                    finally:
                        home.add(child.pid)
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
            reports = tracer.reports(first)
        for path in paths:
            self.assertGreaterEqual(live.total(reports, path), 1, f"expected the waits of {path}")
        not_measured = sum(live.losses(reports, key) for key in ("clock_anomaly", "missed_start"))
        self.assertGreaterEqual(sum(live.total(reports, path) for path in paths), expected - not_measured,
                                "expected the waits that the kernel counted, or a word about them")
        for key in ("map_full", "unresolved", "cgroup_dropped"):
            self.assertEqual(live.losses(reports, key), 0, f"expected no loss of kind {key}")

    def wait_in_each_of(self, number, per_poll):
        """Runs while one cgroup after the other is made, waited in, and kept; its paths and report."""
        cgroups = []
        with live.Cgroup() as home, live.Child(live.naps(2, 0.0002)) as child:
            try:
                with live.Tracer("runqlat", "--cgroup", "--format", "json", "600") as tracer:
                    tracer.wait_attached()
                    for made in range(number):
                        if made % per_poll == 0:
                            tracer.wait_poll()
                        cgroups.append(live.Cgroup())
                        cgroups[-1].add(child.pid)
                        child.ask()
                    home.add(child.pid)
                    self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                    return [cgroup.path for cgroup in cgroups], tracer.reports()[0]
            finally:
                home.add(child.pid)
                for cgroup in cgroups:
                    cgroup.remove()

    def test_room_grows(self):
        # More than the first chunk holds on a host with few cgroups, fewer than all chunks do.
        paths, report = self.wait_in_each_of(300, self.CGROUPS_PER_POLL)
        self.assertEqual(report["loss"]["map_full"], 0, "expected room for all of them")
        for path in paths:
            self.assertGreaterEqual(live.total([report], path), 1, f"expected the waits of {path}")

    def test_overflow_is_counted(self):
        # plan_slots: 8 chunks, each of 64 slots and 1.25 for each cgroup that was there.
        present = sum(1 for _ in os.walk(os.fsencode(live.hierarchy().mount)))
        needed = 8 * (64 + present + present // 4 + 8)
        if needed > 1500:
            self.skipTest(f"missing: a host with few cgroups (here {present})")
        paths, report = self.wait_in_each_of(needed, needed)
        full = report["loss"]["map_full"]
        self.assertGreater(full, 0, f"expected {needed} cgroups to be more than there is room for")
        self.assertEqual(live.total([report], "other"), full, f"expected `other` to hold what was counted: {report['loss']}")
        missing = [path for path in paths if not live.row_of(report, path)]
        self.assertLess(len(missing), needed // 2, "expected most cgroups to have a row")
        self.assertGreaterEqual(full, len(missing), "expected the waits of the others in the ledger")


class Together(unittest.TestCase):
    def test_two_agree(self):
        arguments = ("runqlat", "--cgroup", "--format", "json", "0.2")
        with live.Cgroup() as cgroup, live.Child(live.naps(300), cgroup) as child:
            with live.Tracer(*arguments) as one, live.Tracer(*arguments) as two:
                first = one.wait_report(), two.wait_report()
                before = live.schedstat(child.pid)
                child.ask()
                after = live.schedstat(child.pid)
                self.assertEqual((one.stop(), two.stop()), (0, 0), "expected exit code 0 of both")
                sets = one.reports(first[0]), two.reports(first[1])
        figures = [(live.total(r, cgroup.path), live.total(r, cgroup.path, "sum")) for r in sets]
        # A wait that ends right at the end of ask() may be in one of them only.
        self.assertAlmostEqual(figures[0][0], figures[1][0], delta=2, msg="expected equal counts")
        self.assertAlmostEqual(figures[0][0], after[2] - before[2], delta=3,
                               msg="expected the count of the kernel")
        self.assertAlmostEqual(figures[0][1] / 1e6, figures[1][1] / 1e6,
                               delta=max(5, figures[0][1] / 1e8), msg="expected equal times in ms")


class Selection(unittest.TestCase):
    @staticmethod
    def not_measured(reports):
        return sum(live.losses(reports, key) for key in ("clock_anomaly", "missed_start"))

    def test_pid(self):
        # With a third on the same CPU, for waits that are long enough to be shown.
        cpu = live.last_cpu()
        with live.Child(live.naps(100), cpu=cpu) as wanted, live.Child(
            live.naps(100), cpu=cpu
        ) as other, live.Child(live.spin, cpu=cpu):
            with live.Tracer("runqlat", "--pid", wanted.pid, "--slower", "0.001", "--format", "json", "0.2") as tracer:
                first = tracer.wait_report()
                before = live.schedstat(wanted.pid)
                other.ask()
                wanted.ask()
                after = live.schedstat(wanted.pid)
                other.ask()
                self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                last = live.schedstat(wanted.pid)
                count = live.total(tracer.reports(first), "host")
                pids = {event["pid"] for event in tracer.events()}
        self.assertGreaterEqual(count, after[2] - before[2] - self.not_measured(tracer.reports(first)),
                                "expected each wait of the process")
        self.assertLessEqual(count, last[2] - before[2] + 2, "expected the waits of no other process")
        self.assertLessEqual(pids, {wanted.pid}, "expected single waits of the process only")

    def test_comm(self):
        cpu = live.last_cpu()
        with live.Child(live.naps(100), cpu=cpu, name=b"vtest-a1") as wanted, live.Child(
            live.naps(100), cpu=cpu, name=b"vtest-b1"
        ) as other, live.Child(live.spin, cpu=cpu, name=b"vtest-c1"):
            with live.Tracer("runqlat", "--comm", "vtest-[a]?", "--slower", "0.001", "--format", "json", "0.2") as tracer:
                first = tracer.wait_report()
                before = live.schedstat(wanted.pid)
                wanted.ask()
                after = live.schedstat(wanted.pid)
                other.ask()
                self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                last = live.schedstat(wanted.pid)
                count = live.total(tracer.reports(first), "host")
                comms = {event["comm"] for event in tracer.events()}
        self.assertGreaterEqual(count, after[2] - before[2] - self.not_measured(tracer.reports(first)),
                                "expected each wait of the task")
        self.assertLessEqual(count, last[2] - before[2] + 2, "expected the waits of no other task")
        # A sleeper that takes the CPU at once waits 0 ns: there may be no single wait.
        self.assertLessEqual(comms, {"vtest-a1"}, "expected single waits of matching tasks only")

    def test_single_waits_of_the_selected(self):
        cpu = live.last_cpu()
        with live.Child(live.spin, cpu=cpu, name=b"vtest-a1") as wanted, live.Child(
            live.spin, cpu=cpu, name=b"vtest-b1"
        ):
            for selection in ("--comm=vtest-[a]?", f"--pid={wanted.pid}"):
                done = live.run("runqlat", selection, "--slower", "0.001", "--format", "json", "1", "1")
                events = [d for d in map(json.loads, done.out.splitlines()) if "event" in d]
                self.assertEqual({e["comm"] for e in events}, {"vtest-a1"}, f"with {selection}")

    def test_leaves_itself_out(self):
        # By a name of its own: other instances of vtrace may run.
        name = f"vtself{os.getpid() % 100000}"
        with live.binary_copy(name) as copy:
            for include, flags in ((False, []), (True, ["--include-self"])):
                with self.subTest(include=include), live.Tracer(
                    "runqlat", "--comm", name, *flags, "--format", "json", "0.5", "2", binary=copy
                ) as tracer:
                    self.assertEqual(tracer.wait(), 0, "expected exit code 0")
                    count = live.total(tracer.reports(), "host")
                    if include:
                        # It sleeps about 100 ms at a time.
                        self.assertGreaterEqual(count, 4, "expected its own waits")
                    else:
                        self.assertEqual(count, 0, "expected none of its own waits")


class SingleWaits(unittest.TestCase):
    def test_events_before_the_report(self):
        with live.Cgroup() as cgroup, live.Child(live.spin) as child:
            cgroup.limit(1000, 100_000)
            cgroup.add(child.pid)
            start = time.time()
            with live.Tracer("runqlat", "--cgroup", "--slower", "20", "--format", "json", "600") as tracer:
                tracer.wait_line(lambda line: b'"tid":%d,' % child.pid in line, "a single wait, long before the report")
                self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                events = [e for e in tracer.events() if e["tid"] == child.pid]
                self.assertIn("rows", tracer.documents()[-1], "expected the report last")
            for event in events:
                self.assertEqual(event["entity"]["cgroup"], cgroup.path, "expected the cgroup that waited")
                self.assertEqual(event["pid"], child.pid, "expected the process")
                self.assertGreater(event["wait_ns"], 20e6, "expected waits above the threshold only")
                self.assertIn(event["cpu"], range(os.cpu_count()), "expected a CPU")
                self.assertNotEqual(event["previous_tid"], child.pid, "expected another task to have left the CPU")
                seconds = time.mktime(time.strptime(event["time"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
                self.assertTrue(start - 2 <= seconds <= time.time() + 2, "expected the time of the event")
            with live.Tracer("runqlat", "--cgroup", "--slower", "20", "600") as tracer:
                tracer.wait_line(lambda line: b"(%d)" % child.pid in line, "a single wait in text")
                self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                lines = [line.decode() for line in tracer.lines]
        self.assertRegex(lines[0], r"^TIME +WAIT +TASK", "expected a heading first")
        line = next(line for line in lines if f"({child.pid})" in line)
        self.assertRegex(line, r"^\d\d:\d\d:\d\d\.\d{3} +[\d.]+(ms|s) \S+ \(\d+\) +(idle|.+ \(\d+\)) +/",
                         "expected time, wait, task, who left the CPU and cgroup")
        self.assertIn(cgroup.path, line, "expected the cgroup")

    def test_what_is_not_shown_is_counted(self):
        cpu = live.last_cpu()
        with live.Child(live.yields, cpu=cpu), live.Child(live.yields, cpu=cpu), live.Child(live.yields, cpu=cpu):
            with live.Tracer("runqlat", "--slower", "0.001", "--format", "json", "0.5") as tracer:
                first = tracer.wait_report()
                tracer.wait_report(5)
                self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                reports, shown = tracer.reports(first), len(tracer.events(first))
        limited, dropped = live.losses(reports, "rate_limited"), live.losses(reports, "ring_dropped")
        buckets = [b for d in reports for r in d["rows"] for b in r["metrics"]["wait"]["buckets"]]
        surely = sum(count for low, _, count in buckets if low > 1000)
        perhaps = sum(count for _, high, count in buckets if high > 1000)
        self.assertGreater(shown, 0, "expected single waits")
        self.assertGreater(limited, 0, "expected more single waits than the limit of a second")
        # Counters are read one after the other while waits go on: on an emulated CPU that has to wait
        # itself, 160 ms of 2.5 s were seen between two.
        slack = 200 + perhaps // 10
        accounted = shown + limited + dropped
        self.assertTrue(
            surely - slack <= accounted <= perhaps + slack,
            f"expected shown + rate_limited + ring_dropped within {surely} … {perhaps}: "
            f"{shown} + {limited} + {dropped} = {accounted}",
        )


class OpenWaits(unittest.TestCase):
    def open_of(self, tracer, pid, first=0):
        """(age, window) in ns of each open wait of the task."""
        return [(o["age_ns"], d["duration_ns"]) for d in tracer.reports(first) for o in d["open"] if o["tid"] == pid]

    def test_throttled_task_is_listed_with_a_growing_age(self):
        with live.Cgroup() as cgroup, live.Child(live.spin) as child:
            cgroup.limit(1000, 1_000_000)
            cgroup.add(child.pid)
            with live.Tracer("runqlat", "--cgroup", "--format", "json", "0.1") as tracer:

                def grows():
                    ages = [[o["age_ns"] for o in d["open"] if o["tid"] == child.pid] for d in tracer.reports()]
                    return any(a and b and c and a[0] < b[0] < c[0] for a, b, c in zip(ages, ages[1:], ages[2:]))

                live.until(grows, "an open wait whose age grows from report to report", every=0.1)
                self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                rows = [o for d in tracer.reports() for o in d["open"] if o["tid"] == child.pid]
                ages = self.open_of(tracer, child.pid)
            self.assertEqual({r["entity"]["cgroup"] for r in rows}, {cgroup.path}, "expected its cgroup")
            self.assertEqual({r["pid"] for r in rows}, {child.pid}, "expected its process")
            for (before, _), (after, window) in zip(ages, ages[1:]):
                self.assertLess(after - before, window + 100e6, "expected an age to grow as time passes")

    def test_starved_task_is_listed(self):
        cpu = live.last_cpu()

        def hog(child):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
            child.hear()
            end = time.monotonic() + 0.6  # well below what the kernel's real-time throttling cuts off
            while time.monotonic() < end:
                pass
            child.tell()
            child.hear()

        with live.Child(live.spin, cpu=cpu) as victim, live.Child(hog, cpu=cpu) as hogging:
            with live.Tracer("runqlat", "--cgroup", "--format", "json", "0.05") as tracer:
                tracer.wait_report()
                hogging.ask()
                self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                ages = self.open_of(tracer, victim.pid)
        self.assertGreater(max((age for age, _ in ages), default=0), 100e6,
                           "expected the starved task to be listed while it waits")

    def test_sleeping_task_is_never_listed(self):
        with live.Child(live.sleep_for_ever) as quiet, live.Child(live.naps(1)) as once:
            once.ask()
            live.until(lambda: live.state(quiet.pid) == live.state(once.pid) == "S", "both sleep")
            with live.Tracer("runqlat", "--format", "json", "0.1") as tracer:
                tracer.wait_report(5)
                self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                for pid in (quiet.pid, once.pid):
                    self.assertEqual(self.open_of(tracer, pid), [], "expected no open wait of a sleeping task")

    def move_while_falling_asleep(self, rounds=30):
        """Children that are asleep, each moved to another CPU right after it had gone to sleep.

        Since 6.12 a task that sleeps may stay queued for a moment ("delayed dequeue"). Moved in
        that moment, it keeps sched_info.last_queued, as if it waited."""
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            self.skipTest("missing: a second CPU")
        here, there = cpus[0], cpus[-1]

        def work(child):
            while True:
                child.hear()
                end = time.process_time() + 0.004  # more than its share: it stays queued
                while time.process_time() < end:
                    pass
                child.tell()

        for _ in range(2):
            hog = live.Child(live.spin, cpu=here)
            self.addCleanup(hog.stop)
        children = []
        for _ in range(rounds):
            child = live.Child(work, cpu=here, name=b"vtest-moved")
            self.addCleanup(child.stop)
            children.append(child)
        mover = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {there})
        self.addCleanup(os.sched_setaffinity, 0, mover)
        for child in children:
            child.ask()
            live.until(lambda c=child: live.state(c.pid) == "S", "the child sleeps", every=0)
            os.sched_setaffinity(child.pid, {there})
        return children

    def test_task_moved_while_falling_asleep_is_not_listed(self):
        children = self.move_while_falling_asleep()
        with live.Tracer("runqlat", "--format", "json", "0.1") as tracer:
            tracer.wait_report(3)
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
            for child in children:
                self.assertEqual(live.state(child.pid), "S", "expected the child to sleep all the time")
            pids = {child.pid for child in children}
            listed = [o for d in tracer.reports() for o in d["open"] if o["tid"] in pids]
        self.assertEqual(listed, [], "expected no open wait of a sleeping task")

    def test_sleep_is_never_counted_as_wait(self):
        with live.Tracer("runqlat", "--comm", "vtest-moved", "--format", "json", "0.1") as tracer:
            tracer.wait_report()
            children = self.move_while_falling_asleep()
            asleep = len(tracer.reports())
            tracer.wait_report(asleep + 15)  # 1.5 s asleep
            first = tracer.wait_report(len(tracer.reports()))
            slowest = 0
            for child in children:
                start = time.monotonic_ns()
                child.ask()
                live.until(lambda c=child: live.state(c.pid) == "S", "the child sleeps again", every=0)
                slowest = max(slowest, time.monotonic_ns() - start)
            self.assertEqual(tracer.stop(), 0, "expected exit code 0")
            reports = tracer.reports(first)
        worst = max((r["metrics"]["wait"]["max"] for d in reports for r in d["rows"]), default=0)
        self.assertLessEqual(worst, slowest, "expected no wait to be longer than the time from wake-up to sleep")

    def test_no_wait_is_longer_than_a_task_stood_still(self):
        """Tasks that are woken on another CPU at a high rate, and note their longest pause."""
        cpus = sorted(os.sched_getaffinity(0))
        a_read, a_write = os.pipe()
        b_read, b_write = os.pipe()

        def player(read, write, result):
            def work(child):
                longest, last = 0, time.monotonic_ns()
                os.set_blocking(child._hear, False)
                while True:
                    os.write(write, b".")
                    os.read(read, 1)
                    now = time.monotonic_ns()
                    longest, last = max(longest, now - last), now
                    with open(result, "r+b", buffering=0) as file:
                        file.write(struct.pack("q", longest))

            return work

        with live.binary_copy() as copy:
            files = [os.path.join(os.path.dirname(copy), name) for name in "ab"]
            for file in files:
                pathlib.Path(file).write_bytes(struct.pack("q", 0))
            players = [
                live.Child(player(a_read, b_write, files[0]), cpu=cpus[0], name=b"vtest-ping"),
                live.Child(player(b_read, a_write, files[1]), cpu=cpus[-1], name=b"vtest-ping"),
            ]
            try:
                with live.Tracer("runqlat", "--comm", "vtest-ping", "--format", "json", "0.1") as tracer:
                    tracer.wait_report(10)
                    self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                    reports = tracer.reports()
                # Both are awake again after the last report: their pauses are noted.
                noted = [pathlib.Path(file).stat().st_mtime_ns for file in files]
                live.until(lambda: all(pathlib.Path(f).stat().st_mtime_ns > n for f, n in zip(files, noted)),
                           "both players go on")
                longest = max(struct.unpack("q", pathlib.Path(file).read_bytes())[0] for file in files)
            finally:
                for child in players:
                    child.stop()
                for fd in (a_read, a_write, b_read, b_write):
                    os.close(fd)
        waits = [r["metrics"]["wait"]["max"] for d in reports for r in d["rows"]]
        ages = [o["age_ns"] for d in reports for o in d["open"]]
        self.assertGreater(len(waits), 0, "expected waits")
        # The clocks of two CPUs may differ by a little.
        self.assertLessEqual(max(waits), longest + 1e6, "expected no wait above the longest pause")
        self.assertLessEqual(max(ages, default=0), longest + 1e6, "expected no age above the longest pause")


if __name__ == "__main__":
    unittest.main()
