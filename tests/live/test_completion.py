#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Completion in a bash that somebody types into: names of what exists, whatever they are."""

import os
import pathlib
import tempfile
import unittest

import vtrace_live as live
from terminal_live import Terminal

# Takes the words that bash makes of a line, in place of vtrace; completion asks the real one.
SETUP = """bind 'set enable-bracketed-paste off'
vtrace() {
    if [[ $1 == __complete ]]; then
        command vtrace "$@"
    else
        printf '%s\\0' "$@" >words.new && mv words.new words
    fi
}
source <(vtrace_program completion) && echo rea''dy
"""


class Bash(Terminal):
    def __init__(self, home, prefix=()):
        os.symlink(live.VTRACE, home / "vtrace")
        super().__init__(
            *prefix, "bash", "--norc", "--noprofile", "-i", columns=200, lines=50,
            env={"PATH": f"{home}:{os.environ['PATH']}", "PS1": "$ ", "LC_ALL": "C.UTF-8", "HISTFILE": "",
                 "INPUTRC": "/dev/null"})
        self.words = home / "words"
        self.type(f"cd {home}\n" + SETUP.replace("vtrace_program", "command vtrace"))
        self.until(lambda: b"\nready" in self.shown, "a prompt")

    def run(self, line):
        """Types a line and returns the words that the program gets."""
        self.words.unlink(missing_ok=True)
        self.type(line + "\r")
        self.until(self.words.exists, f"{line!r} to run")
        return [os.fsdecode(word) for word in self.words.read_bytes().split(b"\0")[:-1]]


@live.on_any_kernel
class Completion(live.TestCase):
    def setUp(self):
        super().setUp()
        self.home = pathlib.Path(self.enter(tempfile.TemporaryDirectory(prefix="vtrace-test-")))
        self.bash = self.enter(Bash(self.home))

    def cgroup(self, suffix, parent=None):
        """A cgroup with what its name begins with, for it alone."""
        cgroup = self.enter(live.Cgroup(suffix, parent))
        name = os.path.basename(cgroup.path)
        return cgroup, name, name[: name.index(suffix)]

    def check(self, line, *words):
        with self.subTest(line=line):
            self.assertEqual(self.bash.run(line), ["runqlat", *words])

    def test_options_and_values(self):
        self.check("vtrace runqla\t--form\tj\t", "--format", "json")
        self.check("vtrace runqlat --format=j\t", "--format=json")

    def test_units(self):
        _, name, begin = self.cgroup("-a:b=c@1.service")
        for typed in (begin, begin + "-a", begin + "-a:", begin + "-a:b", begin + "-a:b=", begin + "-a:b=c@"):
            self.check(f"vtrace runqlat --unit={typed}\t", f"--unit={name}")
        self.check(f"vtrace   runqlat 'x y'  --unit={begin}\t1\t 3", "x y", f"--unit={name}", "1", "3")
        self.check(f"true;  X=1 vtrace runqlat --unit={begin}\t", f"--unit={name}")
        self.check(f"vtrace runqlat --unit={begin} 1\x1b[D\x1b[D\t", f"--unit={name}", "1")

    def test_with_other_word_breaks(self):
        _, name, begin = self.cgroup("-a:b=c.service")
        self.bash.type("COMP_WORDBREAKS=$' \\t\\n'; set -u\r")
        self.check(f"vtrace runqlat --unit={begin}\t", f"--unit={name}")
        self.check(f"vtrace runqlat --unit={begin}-a:\t", f"--unit={name}")

    def test_hostile_names_arrive_as_they_are(self):
        for suffix in ("-a b.service", "-$(touch pwned).service", "-`touch pwned`.service",
                       "-;touch pwned;.service", "-'q'\"r\".service", "-!*?[a]{b,c}~#^&|<>().service",
                       "-größe.service", "-$HOME.service", "- -rf.service"):
            with self.subTest(suffix=suffix):
                _, name, begin = self.cgroup(suffix)
                self.check(f"vtrace runqlat --unit={begin}\t", f"--unit={name}")
                self.check(f"vtrace runqlat --cgroup=/{begin}\t", f"--cgroup=/{name}")
        self.assertFalse((self.home / "pwned").exists(), "expected nothing to be executed")

    def test_names_that_drive_a_terminal_are_left_out(self):
        before = len(self.bash.shown)
        for suffix in ("-\x1b[31m.service", b"-\xff.service", "-\u202e.service"):
            cgroup = self.enter(live.Cgroup(suffix))
            begin = os.fsdecode(os.path.basename(cgroup.directory)).split("-")
            typed = "-".join(begin[:4])
            self.check(f"vtrace runqlat --unit={typed}\t\t", f"--unit={typed}")
            self.check(f"vtrace runqlat --cgroup=/{typed}\t\t", f"--cgroup=/{typed}")
        self.assertNotIn(b"\x1b[31m", self.bash.shown[before:])

    def test_cgroups_one_level_at_a_time(self):
        outer, name, begin = self.cgroup("-a b")
        _, inner, _ = self.cgroup("-c", outer)
        self.check(f"vtrace runqlat --cgroup=/{begin}\t", f"--cgroup=/{name}/")
        self.check(f"vtrace runqlat --cgroup=/{begin}\t\t", f"--cgroup=/{name}/{inner}")
        self.check(f"vtrace runqlat --cgroup=/{begin}\t\t1", f"--cgroup=/{name}/{inner}", "1")

    def test_several_are_listed(self):
        names = [self.cgroup("-\\x2d.service")[1].replace("\\x2d", "-") for _ in range(3)]
        begin = os.path.commonprefix(names)
        self.bash.type(f"vtrace runqlat --unit={begin}\t\t")
        for name in names:
            self.bash.until(lambda: os.fsencode(name) in self.bash.shown, f"{name} in the list")

    def test_what_is_in_quotes_is_left_alone(self):
        _, _, begin = self.cgroup(".service")
        self.check(f"vtrace runqlat --unit='{begin}\t'", f"--unit={begin}")
        self.check(f'vtrace runqlat --unit="{begin}\t"', f"--unit={begin}")

    def test_files(self):
        (self.home / "figures.json").touch()
        for form in ("--output ", "--output="):
            self.check(f"vtrace runqlat {form}fig\t", *f"{form}figures.json".split())


@live.on_any_kernel
class Unprivileged(unittest.TestCase):
    def test_without_privileges(self):
        with live.Cgroup(".service") as cgroup, live.binary_copy() as copy:
            name = os.path.basename(cgroup.path)
            for word, offered in ((f"--unit={name[:-3]}", f"--unit={name}\n"),
                                  (f"--cgroup=/{name[:-3]}", f"--cgroup=/{name}\n")):
                result = live.run("__complete", "runqlat", word, prefix=live.as_nobody(), binary=copy)
                self.assertEqual((result.code, result.out, result.err), (0, offered, ""))

    def test_without_cgroups(self):
        script = "umount -R -l /sys/fs/cgroup"
        for word in ("--unit=", "--cgroup=/", "--container="):
            result = live.run("__complete", "runqlat", word, prefix=live.private_mounts(script))
            self.assertEqual((result.code, result.out, result.err), (0, "", ""), "expected nothing at all")


if __name__ == "__main__":
    unittest.main()
