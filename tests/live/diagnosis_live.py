# SPDX-License-Identifier: GPL-2.0-only
"""What tests of `vtrace diagnose` share: owners with random names, loads of theirs, what must be found, and who else
was busy meanwhile."""

import collections
import contextlib
import ctypes
import dataclasses
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import tempfile
import time
import unittest

import vtrace_live as live
from owner_live import Owner

CPUS = sorted(os.sched_getaffinity(0))
LEVELS = ("low", "middle", "high")
WINDOW, SETTLE = (6, 5) if live.EMULATED else (3, 0.7)  # seconds that are diagnosed, and before that
WORST_OF_HEALTHY = "P3"
BEFORE_OTHERS = 100  # times the usual weight
QUIET = 0.05  # of all CPU time: what others may take of it
NAMES = ("api", "billing", "cart", "feed", "ingest", "ledger", "mail", "orders", "queue", "report", "search", "web")

_libc = ctypes.CDLL(None, use_errno=True)


# ---- what must be found ----


@dataclasses.dataclass(frozen=True)
class Expected:
    """A bottleneck: of whom, and whose doing. Names are of cgroups, VMs, disks; None: nobody is to blame."""

    rule: str
    entity: frozenset
    culprit: frozenset

    def is_named_by(self, finding):
        return (finding["rule"] == self.rule and names_of(finding["entity"]) & self.entity
                and (names_of(finding.get("culprit")) & self.culprit))

    def __str__(self):
        listed = ("/".join(sorted(map(str, names))) for names in (self.entity, self.culprit))
        return "{} of {} by {}".format(self.rule, *listed)


def names_of(entity):
    """What an entity may be called: its name, and the last part of its cgroup."""
    if entity is None:
        return {None}
    return {entity["name"].rsplit("/", 1)[-1], (entity.get("cgroup") or "").rsplit("/", 1)[-1]} - {""}


def said(finding):
    """A finding in a line."""
    culprit = finding.get("culprit")
    return (f"{finding['severity']} {finding['rule']} of {finding['entity']['kind']} {finding['entity']['name']}"
            + (f" by {culprit['kind']} {culprit['name']}" if culprit else "")
            + "".join(f", {e['value']:.4g} {e['unit']}" for e in finding["evidence"][:1]))


def missed(expected, findings):
    """What is wrong with the findings, in a line; empty: all that was expected is named, and before anything else one
    of it. Where nothing was, nothing is worse than WORST_OF_HEALTHY."""
    got = "; ".join(map(said, findings[:4])) or "nothing"
    for each in expected:
        if not any(each.is_named_by(finding) for finding in findings):
            return f"expected {each}, got {got}"
    if expected and not any(each.is_named_by(findings[0]) for each in expected):
        return f"expected first {' or '.join(map(str, expected))}, got {got}"
    if not expected and any(finding["severity"] < WORST_OF_HEALTHY for finding in findings):
        return f"expected a healthy host, got {got}"
    return ""


# ---- loads ----


class Scene(contextlib.ExitStack):
    """Loads of owners of its own, all random by one seed; ends all of them."""

    def __init__(self, seed, level=None):
        super().__init__()
        self.seed = seed
        self.random = random.Random(seed)
        drawn = self.random.randrange(len(LEVELS))
        self.level = drawn if level is None else level
        self.expected = []
        self.owners = []
        self.alone = True  # one bottleneck
        self.options = []  # of vtrace
        self._rules = None  # the file with other limits
        self._loaded = set()  # CPUs
        self._lasting = []
        self._words = self.random.sample(NAMES, len(NAMES))
        self._all = self.enter_context(Owner(os.fsdecode(live.new_name())))
        # Before the loads: afterwards others have less than they want.
        with Others() as others:
            time.sleep(0.3)
        self.others_before = others.share
        # Of a machine that others use the scene, and vtrace, have as much as they want: what is found is the scene's
        # own doing. Of one that nobody uses all is as usual.
        self._weight = BEFORE_OTHERS if self.others_before > QUIET else 1
        self._tracer = self.enter_context(Owner(os.fsdecode(live.new_name())))
        self._tracer.cpu_weight(self._weight)

    def take_in_tracer(self):
        """The calling process, which is to be vtrace."""
        if self._weight != 1:
            self._tracer.add()

    def new_name(self):
        return f"{self._words.pop()}-{self.random.randrange(1 << 16):04x}"

    def owner(self):
        return self.take_in(self.enter_context(Owner(self.new_name(), self._all)))

    def take_in(self, owner):
        """One that somebody else has made, too."""
        owner.cpu_weight_of_parent(self._weight)
        self.owners.append(owner)
        return owner

    def expect(self, rule, entity, *culprits):
        """Who is to blame may be said in one of several ways; without any, nobody."""

        def names(those):
            return frozenset(getattr(one, "name", one) for one in those)

        of = entity if isinstance(entity, tuple) else (entity,)
        self.expected.append(Expected(rule, names(of), names(culprits or (None,))))

    def limit(self, rule, p3, p2, p1, p0):
        """Other limits than the rule's own."""
        if self._rules is None:
            self._rules = self.enter_context(tempfile.NamedTemporaryFile("w", suffix=".toml"))
            self.options += ["--rules", self._rules.name]
        print(f"[{rule}]\np3 = {p3}\np2 = {p2}\np1 = {p1}\np0 = {p0}", file=self._rules, flush=True)

    def set_host(self, file, value):
        """A setting of the host's, until the scene ends."""
        self.callback(file.write_text, file.read_text())
        file.write_text(str(value))

    def is_about(self, entity):
        """Whether it is one of the scene's, or nobody."""
        return (entity is None or (entity.get("cgroup") or "").startswith(self._all.path + "/")
                or any(names_of(entity) & (each.entity | each.culprit) for each in self.expected))

    def between(self, *ranges):
        """A random number of the range, (least, most), of the level."""
        return self.random.uniform(*ranges[self.level])

    def one_of(self, *choices):
        """The level's."""
        return choices[self.level]

    def cpu(self):
        cpu = self.random.choice(CPUS)
        self._loaded.add(cpu)
        return cpu

    def free_cpu(self):
        """One that no bottleneck is made of, if there is one; None: any."""
        free = [cpu for cpu in CPUS if cpu not in self._loaded]
        return self.random.choice(free) if self._loaded and free else None

    def start(self, owner, *command, cpu=None, namespace=None):
        """A program of an owner's, until the scene ends."""

        def prepare():
            _libc.prctl(live.PR_SET_PDEATHSIG, signal.SIGKILL)
            owner.add(os.getpid())
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})
            if namespace is not None:
                namespace.enter()

        process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, preexec_fn=prepare, process_group=0)
        self.callback(self._stop, process)
        return process

    @staticmethod
    def _stop(process):
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def spin(self, owner, cpu=None, load=100, count=1):
        """stress-ng's spinners, that would take so many per cent of a CPU each."""
        return self.start(owner, "stress-ng", "--quiet", "--cpu", count, "--cpu-load", round(load),
                          "--cpu-method", self.random.choice(("bitops", "crc16", "gcd", "sqrt")), cpu=cpu)

    def child(self, owner, work, cpu=None):
        made = self.enter_context(live.Child(work, cgroup=owner, cpu=cpu))
        return made

    def must_last(self, child):
        """Without it the scene is none."""
        self._lasting.append(child)

    def lasts(self):
        return all(live.state(child.pid) not in "XZ" for child in self._lasting)

    def decoy_spinner(self, cpu):
        """Somebody who is seen, and is in nobody's way: a fifth of a CPU that is not the bottleneck's. Beside two of them
        there may be none."""
        if self.alone and len(CPUS) > 1:
            self.spin(self.owner(), self.random.choice([c for c in CPUS if c != cpu]), load=20)

    @staticmethod
    def settle():
        """Until the loads have begun."""
        time.sleep(SETTLE)


# ---- who else was busy ----


class Others:
    """The share of all CPU time that processes took in user mode in this context which are neither of these owners
    nor of this test, by /proc/stat: on a machine that does other things, too, nothing was proved. Without owners, whose
    loads have the kernel work for them, the system time is in it."""

    def __init__(self, owners=()):
        self._owners = owners

    def _now(self):
        user, nice, system = (int(n) for n in pathlib.Path("/proc/stat").read_text().split(maxsplit=4)[1:4])
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        used = sum(usage.ru_utime for usage in usages) + sum(owner.user_seconds() for owner in self._owners)
        if not self._owners:
            user += system
            used += sum(usage.ru_stime for usage in usages)
        return (user + nice) / os.sysconf("SC_CLK_TCK") - used, time.monotonic()

    def __enter__(self):
        self._before = self._now()
        return self

    def __exit__(self, *_):
        (seconds, now), (seconds_before, before) = self._now(), self._before
        self.share = max(0.0, seconds - seconds_before) / (now - before) / os.cpu_count()


Diagnosis = collections.namedtuple("Diagnosis", "findings others report")


def diagnose(scene, seconds=WINDOW, prefix=()):
    """What `vtrace diagnose` says of the host for so long. Where others are busy, what it says of them, and what it
    blames them for, is left out: it may be as true."""
    with Others(scene.owners) as others:  # vtrace is a child of this test's
        result = live.run("diagnose", seconds, "--format", "json", *scene.options, prefix=prefix,
                          timeout=live.PATIENCE + seconds, preexec_fn=scene.take_in_tracer)
    # Findings may have an exit code of their own.
    if not result.out:
        raise AssertionError(f"expected a diagnosis, exit code {result.code}: {result.err!r}")
    report = json.loads(result.out.splitlines()[-1])
    findings = report["findings"]
    share = max(scene.others_before, others.share)
    if share > QUIET:
        findings = [finding for finding in findings
                    if scene.is_about(finding["entity"]) and scene.is_about(finding.get("culprit"))]
    return Diagnosis(findings, share, report)


def need_diagnose():
    """Skips where there is no such tool."""
    if live.run("diagnose", "--help").code != 0:
        raise unittest.SkipTest("this vtrace has no diagnose")
