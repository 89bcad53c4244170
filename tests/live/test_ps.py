#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace ps`: its threads against /proc; --watch on a terminal, into a pipe, as JSON."""

import json
import os
import signal
import threading
import unittest

import jsonschema

import vtrace_live as live
from terminal_live import Terminal

HOME = b"\x1b[H"
DRAWN = b"\x1b[?7h"  # the end of each table on a terminal
VALIDATOR = jsonschema.Draft7Validator(json.loads(live.SCHEMA.read_text()))


def threads(number):
    """Work for a Child: threads that sleep."""

    def work(child):
        for _ in range(number - 1):
            threading.Thread(target=signal.pause, daemon=True).start()
        child.tell()
        live.sleep_for_ever(child)

    return work


def unit(suffix="", parent=None):
    return live.Cgroup(f"{suffix}.service", parent)


def name_of(cgroup):
    return os.path.basename(cgroup.path)


class Base(live.TestCase):
    def entities(self, line):
        document = json.loads(line)
        self.assertTrue(VALIDATOR.is_valid(document), f"expected a document by the schema: {line!r}")
        return {entity["name"]: entity for entity in document["entities"]}


class Threads(Base):
    def test_of_the_subtree(self):
        outer = self.enter(unit())
        inner = self.enter(unit(parent=outer))
        below = self.enter(live.Cgroup(parent=inner))
        empty = self.enter(unit())
        counts = []
        for cgroup, number in ((outer, 1), (inner, 3), (below, 5)):
            child = self.enter(live.Child(threads(number), cgroup))
            child.hear()
            counts.append(len(os.listdir(f"/proc/{child.pid}/task")))
        self.assertEqual(counts, [1, 3, 5], "expected the kernel to count as many")
        for prefix in ((), live.as_nobody()):
            with self.subTest(prefix=prefix), live.binary_copy() as copy:
                result = live.run("ps", "--format", "json", prefix=prefix, binary=copy)
                self.assertEqual(result.code, 0)
                # What it has no permission for depends on what there is.
                said = result.err.splitlines() if prefix else [result.err]
                self.assertEqual([line for line in said if "no permission" not in line], [] if prefix else [""])
                found = self.entities(result.out)
                shown = {key: found[name_of(key)]["threads"] for key in (outer, inner, empty)}
                self.assertEqual(shown, {outer: {"all": 9}, inner: {"all": 8}, empty: {"all": 0}})
        self.assertRegex(live.run("ps").out, rf"(?m)^unit +{name_of(outer)} .* 9 +cgroup +/")


@live.on_any_kernel
class Watch(Base):
    def test_json(self):
        with live.Tracer("ps", "--watch=0.1", "--format", "json") as ps:
            ps.wait_line(lambda line: True, "a document")
            with unit() as cgroup:
                name = name_of(cgroup)
                here = ps.wait_line(lambda line: name.encode() in line, "the new unit")
                with live.Child(live.sleep_for_ever, cgroup):
                    ps.wait_line(lambda line: self.entities(line).get(name, {}).get("threads") == {"all": 1},
                                 "its thread")
            ps.wait_line(lambda line: line in ps.lines[here:] and name.encode() not in line,
                         "a document without the unit that has ended")
            self.assertEqual(ps.stop(), 0, "expected exit code 0")
            self.assertEqual(ps.err, b"")
        for line in ps.lines:
            self.entities(line)

    def test_tables_into_a_pipe(self):
        with unit() as cgroup, live.Tracer("ps", "--watch=0.1") as ps:
            heads = iter(range(1, 4))
            ps.wait_line(lambda line: line.startswith(b"KIND ") and next(heads) == 3, "three tables")
            self.assertEqual(ps.stop(signal.SIGTERM), 0, "expected exit code 0")
            text = b"".join(ps.lines)
            self.assertNotIn(b"\x1b", text, "expected no codes for terminals")
            for table in text.split(b"\n\n"):
                self.assertTrue(table.startswith(b"KIND "), "expected tables with an empty line between")
                self.assertIn(name_of(cgroup).encode(), table)

    def test_terminal(self):
        cgroups = [self.enter(unit(f"-{number:02}-{'long-' * 20}")) for number in range(15)]
        self.enter(unit("\x1b[31m"))
        with Terminal(live.VTRACE, "ps", "--watch=0.1", columns=80, lines=10) as ps:
            def tables():
                return [part.split(DRAWN)[0] for part in ps.shown.split(HOME)[1:] if DRAWN in part]

            ps.until(lambda: len(tables()) >= 3, "three tables")
            for table in tables():
                text = table.decode().removeprefix("\x1b[?7l").replace("\x1b[K", "")
                self.assertTrue(text.endswith("\r\n\x1b[J"), repr(text))
                lines = text.removesuffix("\r\n\x1b[J").split("\r\n")
                self.assertEqual(len(lines), 9, f"expected to fill the terminal but for the cursor: {lines}")
                self.assertLessEqual(max(map(len, lines)), 80, "expected no line that is too wide")
                self.assertRegex(lines[0], r"^KIND +NAME +ID +CPUS +MEMORY +THREADS")
                self.assertRegex(lines[-1], r"^\.\.\. and \d+ more$")
                self.assertNotIn("\x1b", "".join(lines), "expected names to be escaped")
            last = cgroups[-1].path.encode()
            self.assertNotIn(last, ps.shown, "expected the rest to be out of view")
            ps.resize(300, 1000)
            ps.until(lambda: last in tables()[-1], "all of it on a larger terminal")
            ps.type("\x03")
            self.assertEqual(ps.wait(), 0, "expected exit code 0")
            self.assertTrue(ps.shown.endswith(b"\r\n"), "expected the prompt on a line of its own")
            self.assertEqual(ps.shown.count(b"\x1b[?7l"), ps.shown.count(b"\x1b[?7h"), "expected wrapping again")

    def test_wrong_usage(self):
        for bad in ("0", "-1", "0.09", "86401", "1e9", "nan", "x", "2s"):
            live.check_failure(self, live.run("ps", f"--watch={bad}"), 2, f"--watch={bad}", "86400")
        live.check_failure(self, live.run("ps", "--watch", "5"), 2, "--watch=5")
        live.check_failure(self, live.run("runqlat", "--watch"), 2, "--watch")

    def test_reader_goes_away(self):
        reader, writer = os.pipe()
        with unit():
            os.close(reader)
            result = live.run("ps", "--watch=0.1", stdout=writer)
            os.close(writer)
        live.check_failure(self, result, 1, "stdout")


if __name__ == "__main__":
    unittest.main()
