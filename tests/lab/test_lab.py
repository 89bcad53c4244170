#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The lab's own parts that need no machine."""

import pathlib
import subprocess
import tempfile
import unittest
from unittest import mock

import expected
import inside
import kernels
import lab
import machine
import table


class Expected(unittest.TestCase):
    TABLE = {"a.A.runs": {}, "a.A.some": {"5.10": "no such thing"}}

    def judge(self, test, outcome, detail="", series="5.10"):
        return expected.judge(self.TABLE, series, test, outcome, detail)

    def test_what_is_expected(self):
        self.assertIsNone(self.judge("a.A.runs", "pass"))
        self.assertIsNone(self.judge("a.A.some", "skip", "no such thing"))
        self.assertIsNone(self.judge("a.A.some", "pass", series="6.1"))

    def test_a_run_that_becomes_a_skip_is_red(self):
        self.assertIn("expected to run", self.judge("a.A.runs", "skip", "why"))
        self.assertIn("expected to run", self.judge("a.A.some", "skip", "no such thing", "6.1"))

    def test_a_reason_for_every_kernel(self):
        everywhere = {"a.A.x": {"*": "why"}}
        self.assertIsNone(expected.judge(everywhere, "7.0", "a.A.x", "skip", "why"))
        self.assertIn("impossible", expected.judge(everywhere, "7.0", "a.A.x", "pass", ""))

    def test_another_reason_is_red(self):
        self.assertIn("another reason", self.judge("a.A.some", "skip", "another"))

    def test_a_skip_that_becomes_a_run_is_red(self):
        self.assertIn("impossible", self.judge("a.A.some", "pass"))

    def test_what_runs_on_another_kernel_is_known(self):
        self.assertIsNone(self.judge("a.A.runs", "elsewhere"))
        self.assertIsNone(self.judge("a.A.some", "elsewhere"))
        self.assertIn("not in expected.toml", self.judge("a.A.unknown", "elsewhere"))

    def test_a_failure_is_red_whatever_is_expected(self):
        for test in (*self.TABLE, "a.A.unknown"):
            self.assertEqual(self.judge(test, "fail"), "fail")

    def test_an_unknown_test_is_red(self):
        self.assertIn("not in expected.toml", self.judge("a.A.unknown", "pass"))

    def test_it_has_every_live_test(self):
        """Found here and not at the end of an hour in the lab. GoogleTest's are known only to their program."""
        names = {inside.short_id(test) for test in inside.live_tests()}
        known = {test for test in expected.load() if not test.startswith("contract.")}
        self.assertEqual(names, known, "./dev lab --accept writes them anew")

    def test_what_is_written_is_read(self):
        nowhere = dict.fromkeys(kernels.SERIES, "why")
        self.assertEqual(expected.dump({"c.C.x": nowhere}), expected.dump({"c.C.x": {"*": "why"}}))
        odd = {**self.TABLE, "c.C.x": {"*": "why"}, "b.B.x": {"6.1": 'a "quoted" \\ reason', "newest": "é"}}
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory) / "expected.toml"
            file.write_text(expected.dump(odd))
            self.assertEqual(expected.load(file), odd)

    def test_the_file_is_as_it_would_be_written(self):
        self.assertEqual(expected.FILE.read_text(), expected.dump(expected.load()))


class Parts(unittest.TestCase):
    def test_what_is_left_for_some_machines_is_split_for_all(self):
        self.assertEqual(lab.parts_of(5, 2, whole=False), [1, 1, 1, 1, 2])
        self.assertEqual(lab.parts_of(5, 3, whole=False), [1, 1, 1, 3, 3])
        self.assertEqual(lab.parts_of(1, 2, whole=False), [2])
        self.assertEqual(lab.parts_of(4, 2, whole=False), [1] * 4)
        self.assertEqual(lab.parts_of(5, 1, whole=False), [1] * 5)
        self.assertEqual(lab.parts_of(5, 2, whole=True), [1] * 5)

    def test_the_parts_are_the_whole(self):
        tests = list(range(7))
        parts = [inside.part_of(tests, number, 3) for number in (1, 2, 3)]
        self.assertEqual(sorted(sum(parts, [])), tests)

    def test_each_test_runs_on_the_first_and_one_other(self):
        self.assertEqual(lab.shares_of(5, shared=True), [None, (1, 4), (2, 4), (3, 4), (4, 4)])
        self.assertEqual(lab.shares_of(5, shared=False), [None, (1, 1), (1, 1), (1, 1), None])
        self.assertEqual(lab.shares_of(2, shared=True), [None, (1, 1)])
        self.assertEqual(lab.shares_of(1, shared=True), [None])
        self.assertEqual(lab.shares_of(0, shared=True), [None])

    def test_the_same_on_any_kernel(self):
        class Marked(unittest.TestCase):
            on_any_kernel = True

            def test_it(self):
                pass

        class Unmarked(unittest.TestCase):
            def test_it(self):
                pass

            def test_that(self):
                pass

            test_that.on_any_kernel = True

        tests = [Marked("test_it"), Unmarked("test_it"), Unmarked("test_that")]
        self.assertEqual([inside.on_any_kernel(test) for test in tests], [True, False, True])
        self.assertEqual(inside.of_share(tests, (1, 2)), tests[1:2])
        self.assertEqual(inside.of_share(tests, (2, 2)), [])

    def test_on_one_cpu(self):
        class Marked(unittest.TestCase):
            on_one_cpu = True

            def test_it(self):
                pass

        self.assertTrue(inside.on_one_cpu(Marked("test_it")))
        self.assertFalse(inside.on_one_cpu(self))


class Releases(unittest.TestCase):
    NAMES = {
        "linux-image-5.10.0-9-amd64",
        "linux-image-5.10.0-32-amd64",
        "linux-image-5.10.0-33-cloud-amd64",
        "linux-image-5.10.0-33-rt-amd64",
        "linux-image-5.10.0-33-amd64-dbg",
        "linux-image-6.1.0-50-amd64",
        "linux-image-6.12.9+deb13-amd64",
        "linux-image-6.12.107+deb13-amd64",
        "linux-image-7.2.13+deb14-amd64",
        "linux-binary-7.2.13+deb14-amd64",
        "linux-modules-7.2.13+deb14-amd64",
        "linux-base-7.2.13+deb14-amd64",
        "linux-binary-unsigned-7.3.4+deb13-amd64",
        "linux-modules-7.3.4+deb13-amd64",
        "linux-base-7.3.4+deb13-amd64",
        "linux-binary-unsigned-7.4.1+deb13-amd64",
        "linux-headers-7.5.1+deb13-amd64",
    }

    def setUp(self):
        patch = mock.patch.object(kernels, "_package_names", lambda: self.NAMES)
        patch.start()
        self.addCleanup(patch.stop)

    def test_versions_go_by_number_and_flavour(self):
        for series, release in (
            ("5.10", "5.10.0-32-amd64"),
            ("6.1", "6.1.0-50-amd64"),
            ("6.12", "6.12.107+deb13-amd64"),
            ("7.2", "7.2.13+deb14-amd64"),
            ("newest", "7.3.4+deb13-amd64"),  # 7.4 has no modules yet
        ):
            self.assertEqual(kernels._newest_release(series), release)

    def test_a_series_that_is_not_there(self):
        with self.assertRaisesRegex(kernels.FetchError, "6.2"):
            kernels._newest_release("6.2")

    def test_packages_of_a_split_image(self):
        packages = kernels._releases()["7.2.13+deb14-amd64"]
        self.assertEqual([p.split("-")[1] for p in packages], ["binary", "modules", "base"])
        self.assertEqual(kernels._releases()["6.1.0-50-amd64"], ["linux-image-6.1.0-50-amd64"])


class Initramfs(unittest.TestCase):
    def test_cpio_reads_it(self):
        archive = machine.cpio({"d": (0o040755, b""), "d/file": (0o100644, b"content")})
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(["busybox", "cpio", "-i"], cwd=directory, input=archive, check=True,
                           stderr=subprocess.DEVNULL)
            self.assertEqual((pathlib.Path(directory) / "d/file").read_bytes(), b"content")


class Tables(unittest.TestCase):
    def test_results(self):
        def outcome(kind, seconds, wrong=None):
            return table.Outcome(kind, seconds, "", wrong)

        columns = {
            "5.10": {"a.A.x": outcome("pass", 1.25), "a.A.y": outcome("fail", 2, "fail")},
            "newest": {
                "a.A.w": outcome("elsewhere", 0),
                "a.A.x": outcome("skip", 0),
                "b.B.z": outcome("skip", 0, "was skipped"),
            },
        }
        lines = [line.split() for line in table.results(columns).splitlines()]
        self.assertEqual(lines, [
            ["5.10", "newest"],
            ["a.A"],
            ["w", "-", "-"],
            ["x", "1.2", "no"],
            ["y", "FAIL", "-"],
            ["b.B"],
            ["z", "-", "SKIP"],
            ["seconds", "in", "all", "3", "0"],
        ])

    def test_features(self):
        yes = {"name": "task storage", "available": True, "remark": "state lives"}
        no = {"name": "task storage", "available": False, "remark": "fallback: a hash of tasks (old)"}
        block = table.features([("5.10", [no], True), ("6.1", [yes], False)])
        self.assertEqual(block.splitlines(), [
            "| feature | 5.10 | 6.1 |",
            "| --- | --- | --- |",
            "| task storage | hash of tasks | yes |",
            "| live tests | pass | **fail** |",
        ])

    def test_the_block_in_a_readme(self):
        text = f"a\n{table.BEGIN}\nold\n{table.END}\nb\n"
        new = table.with_block(text, "new\n")
        self.assertEqual(table.in_readme(new), "new\n")
        self.assertEqual((new[:2], new[-2:]), (text[:2], text[-2:]))


if __name__ == "__main__":
    unittest.main()
