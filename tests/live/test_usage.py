#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The command line: wrong usage gives exit code 2 and one helpful line, right usage the right answer."""

import json
import os
import pathlib
import subprocess
import unittest

import vtrace_live as live


@live.on_any_kernel
class WrongUsage(unittest.TestCase):
    def refuse(self, arguments, *mentions):
        with self.subTest(arguments=arguments):
            live.check_failure(self, live.run(*arguments), 2, *mentions)

    def test_interval(self):
        for bad in ("0", "-1", "1e300", "99999999999", "nan", "inf", "1x", "x", "0x1", "", " 1", "1e-9"):
            self.refuse(["runqlat", bad], bad, ";")
        self.refuse(["runqlat", "--cgroup", "0", "1"], "INTERVAL 0 ", "0.01", "31536000")

    def test_count(self):
        for bad in ("0", "-3", "1.5", "nan", "99999999999999999999", "2x", "x"):
            self.refuse(["runqlat", "1", bad], bad, ";")

    def test_too_many_words(self):
        self.refuse(["runqlat", "1", "2", "3"], "3", ";")

    def test_unknown_cgroup(self):
        self.refuse(["runqlat", "--cgroup=/no/such/cgroup", "1", "1"], "/no/such/cgroup",
                    "no such cgroup", live.hierarchy().mount)

    def test_path_outside_the_hierarchy(self):
        self.refuse(["runqlat", "--cgroup=/etc", "1", "1"], "--cgroup=/etc", "outside",
                    live.hierarchy().mount)
        for path in ("/../..", "/..", "../etc", "/a/../../etc"):
            self.refuse(["runqlat", f"--cgroup={path}", "1", "1"], path, "hierarchy", ";")

    def test_path_of_a_file(self):
        self.refuse(["runqlat", "--cgroup=/cgroup.procs", "1", "1"], "/cgroup.procs", "not a cgroup")

    def test_path_too_long(self):
        self.refuse(["runqlat", "--cgroup=/" + "a" * 5000, "1", "1"], "aaa", ";")

    def test_bare_path_names_the_equals_form(self):
        self.refuse(["runqlat", "--cgroup", "/docker", "1", "1"], "--cgroup=/docker")
        self.refuse(["runqlat", "--cgroup", "/docker"], "--cgroup=/docker")

    def test_cgroup_without_a_path(self):
        self.refuse(["runqlat", "--cgroup="], "--cgroup=", "/PATH")

    def test_pid(self):
        for bad in ("0", "x", "1x", "99999999999", "1.5", ""):
            self.refuse(["runqlat", "--pid", bad, "1", "1"], "--pid", bad, ";")
        self.refuse(["runqlat", "--pid", "-1", "1", "1"], "-1", ";")
        self.refuse(["runqlat", "--pid"], "--pid", ";")

    def test_pid_of_a_dead_process(self):
        dead = subprocess.Popen(["true"])
        dead.wait()
        self.refuse(["runqlat", "--pid", str(dead.pid), "1", "1"], f"--pid {dead.pid}",
                    "no such process", ";")

    def test_top(self):
        for bad in ("0", "-5", "x", "1.5", "99999999999999999999"):
            self.refuse(["runqlat", "--cgroup", "--top", bad, "1", "1"], bad, ";")

    def test_slower(self):
        for bad in ("0", "-5", "nan", "inf", "x", "1e300"):
            self.refuse(["runqlat", "--slower", bad, "1", "1"], bad, ";")

    def test_comm(self):
        self.refuse(["runqlat", "--comm", "", "1", "1"], "--comm", "empty", ";")
        self.refuse(["runqlat", "--comm", "[a", "1", "1"], "--comm [a", "not closed", ";")
        self.refuse(["runqlat", "--comm", "a\\", "1", "1"], "--comm a\\", "backslash", ";")

    def test_format(self):
        for command in (["runqlat", "1", "1"], ["list"], ["check"]):
            self.refuse([*command, "--format", "xml"], "xml", "json", ";")

    def test_unknown_words(self):
        self.refuse(["runqlat", "--no-such-option"], "--no-such-option", "--help")
        self.refuse(["--no-such-option"], "--no-such-option", "--help")
        self.refuse(["nosuchtool"], "nosuchtool", ";")
        self.refuse([], ";")

    def test_hostile_words_do_not_drive_the_terminal(self):
        for bad in (b"\x1b[31m", b"a\nb", b"\xff\xfe"):
            for arguments in ([bad], ["runqlat", bad], ["runqlat", b"--cgroup=/" + bad, "1", "1"],
                              ["runqlat", b"--" + bad], ["runqlat", "--format", bad]):
                with self.subTest(arguments=arguments):
                    result = live.run(*arguments)
                    live.check_failure(self, result, 2)
                    self.assertNotIn(bad, result.raw_err, "expected control characters to be escaped")


class RightUsage(unittest.TestCase):
    def reports(self, *arguments):
        result = live.run("runqlat", "--format", "json", *arguments)
        self.assertEqual(result.code, 0, f"expected exit code 0 for {arguments}: {result.err}")
        self.assertEqual(result.err, "", "expected nothing on stderr")
        return [json.loads(line) for line in result.out.splitlines()]

    @live.on_any_kernel
    def test_cgroup_takes_no_value_from_the_next_word(self):
        reports = self.reports("--cgroup", "1", "2")
        self.assertEqual(len(reports), 2, "expected `--cgroup 1 2` to be 2 reports of 1 s")
        for report in reports:
            self.assertAlmostEqual(report["duration_ns"] / 1e9, 1, delta=0.5,
                                   msg="expected windows of about 1 s")

    @live.on_any_kernel
    def test_text_reports(self):
        result = live.run("runqlat", "--cgroup", "0.2", "2")
        self.assertEqual(result.code, 0, f"expected exit code 0: {result.err}")
        self.assertEqual(result.out.count("CGROUP "), 2, "expected exactly 2 tables")

    def test_cgroup_paths(self):
        with live.Cgroup() as outer, live.Cgroup(parent=outer) as inner, live.Cgroup() as other:
            inside, outside = live.naps(50), live.naps(50)
            with live.Child(inside, inner) as a, live.Child(outside, other) as b:
                full = os.fsdecode(outer.directory)
                for path in (outer.path, outer.path[1:], full, full + "/"):
                    with self.subTest(path=path), live.Tracer(
                        "runqlat", f"--cgroup={path}", "--format", "json", "0.2"
                    ) as tracer:
                        first = tracer.wait_report()
                        a.ask()
                        b.ask()
                        self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                        reports = tracer.reports(first)
                        named = {r["entity"]["cgroup"] for d in reports for r in d["rows"]}
                        self.assertEqual(named, {inner.path}, "expected the subtree and nothing else")
                        self.assertGreaterEqual(live.total(reports, inner.path), 25,
                                                "expected a wait after most of 50 sleeps")

    def test_cgroup_root_is_everything(self):
        with live.Cgroup() as cgroup, live.Child(live.naps(20), cgroup) as child:
            for path in ("/", live.hierarchy().mount):
                with self.subTest(path=path), live.Tracer(
                    "runqlat", f"--cgroup={path}", "--format", "json", "0.2"
                ) as tracer:
                    first = tracer.wait_report()
                    child.ask()
                    self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                    self.assertGreaterEqual(live.total(tracer.reports(first), cgroup.path), 10,
                                            "expected the waits of a new cgroup")

    @live.on_any_kernel
    def test_top(self):
        with live.Cgroup() as a, live.Cgroup() as b, live.Cgroup() as c:
            children = [live.Child(live.naps(30), g) for g in (a, b, c)]
            try:
                with live.Tracer("runqlat", "--cgroup", "--top", "2", "--format", "json", "2") as tracer:
                    tracer.wait_attached()
                    for child in children:
                        child.ask()
                    self.assertEqual(tracer.stop(), 0, "expected exit code 0")
                    report = max(tracer.reports(), key=lambda r: r.get("rows_left_out", 0))
            finally:
                for child in children:
                    child.stop()
        self.assertEqual(len(report["rows"]), 2, "expected the number of rows that was asked for")
        self.assertGreaterEqual(report["rows_left_out"], 1, "expected the rest to be counted")
        self.assertGreater(report["left_out"]["count"], 0, "expected the rest as one histogram")

    @live.on_any_kernel
    def test_output_file(self):
        with live.binary_copy() as copy:
            file = pathlib.Path(copy).with_name("out.json")
            result = live.run("runqlat", "--format", "json", "--output", file, "0.1", "2")
            self.assertEqual((result.code, result.out, result.err), (0, "", ""),
                             "expected everything in the file")
            self.assertEqual(len(file.read_text().splitlines()), 2, "expected 2 documents in the file")

    @live.on_any_kernel
    def test_timestamp(self):
        result = live.run("runqlat", "--timestamp", "0.1", "1")
        self.assertRegex(result.out, r"\A\d\d:\d\d:\d\d", "expected the time first")

    @live.on_any_kernel
    def test_version(self):
        result = live.run("--version")
        self.assertEqual((result.code, result.err), (0, ""), "expected exit code 0 and no error")
        self.assertRegex(result.out, r"\Avtrace \d+\.\d+\.\d+\n\Z", "expected name and version")

    @live.on_any_kernel
    def test_list(self):
        result = live.run("list")
        self.assertEqual((result.code, result.err), (0, ""), "expected exit code 0 and no error")
        self.assertRegex(result.out, r"(?m)^runqlat +\S+", "expected a line per tool")


@live.on_any_kernel
class Help(unittest.TestCase):
    COMMANDS = ([], ["runqlat"], ["compare"], ["diagnose"], ["rules"], ["list"], ["check"], ["ps"], ["demo"],
                ["completion"])

    def test_help(self):
        for command in self.COMMANDS:
            for flag in ("--help", "-h"):
                with self.subTest(command=command, flag=flag):
                    result = live.run(*command, flag)
                    self.assertEqual((result.code, result.err), (0, ""),
                                     "expected exit code 0 and no error")
                    self.assertRegex(result.out, r"Examples?:\n +(source <\()?vtrace ",
                                     "expected examples")
                    self.assertIn(" ".join(["vtrace", *command]), result.out,
                                  "expected the command as it is typed")

    def test_fits_80_columns(self):
        for command in self.COMMANDS:
            with self.subTest(command=command):
                wide = [line for line in live.run(*command, "--help").out.splitlines() if len(line) > 80]
                self.assertEqual(wide, [], "expected no line wider than 80 columns")

    def test_names_every_option(self):
        text = live.run("runqlat", "--help").out
        for option in ("--cgroup", "--pid PID", "--comm GLOB", "--top N", "--slower MS", "--format",
                       "--output FILE", "--timestamp", "--overhead", "--include-self", "INTERVAL", "COUNT"):
            self.assertIn(option, text, "expected every option in the help")


@live.on_any_kernel
class Completion(unittest.TestCase):
    def complete(self, *words):
        """What bash offers for the last of `words`, from the script as a user loads it."""
        script = """
            source <(vtrace completion) || exit 1
            COMP_WORDS=("$@")
            COMP_CWORD=$(($# - 1))
            COMP_LINE=$*
            COMP_POINT=${#COMP_LINE}
            function=$(complete -p vtrace | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
            "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\\n' "${COMPREPLY[@]}"
        """
        with live.binary_copy() as copy:
            path = os.path.dirname(copy) + ":" + os.environ["PATH"]
            done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True,
                                  env={**os.environ, "PATH": path}, timeout=live.PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), "expected the script to load")
        return done.stdout.split()

    def test_tools(self):
        self.assertEqual(self.complete("vtrace", "r"), ["runqlat", "runqlen", "record", "report", "rules"],
                         "expected tools and commands")
        offered = self.complete("vtrace", "")
        for word in ("runqlat", "compare", "diagnose", "rules", "list", "check", "ps", "demo", "completion"):
            self.assertIn(word, offered, "expected every subcommand")

    def test_scenarios(self):
        self.assertEqual(self.complete("vtrace", "demo", "memory-"), ["memory-limit", "memory-oom"],
                         "expected the scenarios")

    def test_options(self):
        self.assertEqual(self.complete("vtrace", "runqlat", "--f"), ["--format"], "expected the option")
        offered = self.complete("vtrace", "runqlat", "--")
        for word in ("--cgroup", "--pid", "--comm", "--top", "--slower", "--output", "--overhead"):
            self.assertIn(word, offered, "expected every option")

    def test_values(self):
        self.assertEqual(self.complete("vtrace", "runqlat", "--format", "j"), ["json"],
                         "expected the value of the option")
        self.assertEqual(self.complete("vtrace", "runqlat", "--pid", ""), [],
                         "expected nothing where a number is due")

    def test_unknown(self):
        self.assertEqual(self.complete("vtrace", "zzz"), [], "expected nothing")
        self.assertEqual(self.complete("vtrace", "nosuch", "--"), [], "expected nothing")


if __name__ == "__main__":
    unittest.main()
