# SPDX-License-Identifier: GPL-2.0-only
"""How often `vtrace diagnose` is right: each rule's bottleneck at random, many times (tests/live/scenes_live.py)."""

import math
import os
import pathlib
import random
import sys
import unittest
from dataclasses import dataclass, field

import common
from measure import log
from table import Section, Targets

GOAL = 0.95  # of the runs
LIVE = pathlib.Path(__file__).resolve().parents[1] / "live"


def wilson(hits: int, runs: int, z: float = 1.96) -> float:
    """The lower end of the interval that the true share of hits is in with a confidence of 95 %
    (Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    if runs == 0:
        return 0.0
    share, square = hits / runs, z * z / runs
    half = z * math.sqrt(share * (1 - share) / runs + square / (4 * runs))
    return (share + square / 2 - half) / (1 + square)


@dataclass
class Tally:
    """Of one rule, or of one kind of healthy host."""

    runs: int = 0
    misses: list[str] = field(default_factory=list)  # what was said, with the seed of the run
    others: float = 0  # the largest share of the CPUs that somebody else had
    not_here: str = ""

    @property
    def hits(self) -> int:
        return self.runs - len(self.misses)


class Trials:
    """`runs` of each name, in turn, over all levels; what a run is follows from the seed alone."""

    def __init__(self, runs: int, seed: int):
        import diagnosis_live  # reads where vtrace is from the environment
        import scenes_live

        self.live, self.scenes = diagnosis_live, scenes_live
        self._runs = runs
        self._seed = seed

    def of(self, *names: str) -> Tally:
        """Runs whose load has ended before they do count for nothing."""
        tally = Tally()
        for number in range(2 * self._runs):  # not all count
            if tally.runs == self._runs:
                break
            try:
                self._run(tally, number, names)
            except unittest.SkipTest as reason:
                tally.not_here = str(reason)
                return tally
        return tally

    def _run(self, tally: Tally, number: int, names: tuple[str, ...]) -> None:
        seed, level = f"{self._seed}/{number}", number % len(self.live.LEVELS)
        about = f"{' and '.join(names)}, {self.live.LEVELS[level]}, seed {seed}"
        try:
            with self.live.Scene(seed, level) as scene:
                self.scenes.play(scene, *names)
                found = self.live.diagnose(scene)
                problem = self.live.missed(scene.expected, found.findings)
                lasted = scene.lasts()
        except (AssertionError, OSError) as error:
            raise common.NotMeasured(f"{about}: {error}") from error
        if not lasted:
            log(f"{about}: its load has ended, so it does not count")
            return
        tally.runs += 1
        tally.others = max(tally.others, found.others)
        if problem:
            tally.misses.append(f"{self.live.LEVELS[level]} (seed {seed}): {problem}")
        log(f"{about}: {problem or 'hit'}")


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def row(name: str, tally: Tally, targets: Targets) -> list[str]:
    if tally.runs == 0 and not tally.not_here:
        tally.not_here = "its loads end"
    if tally.not_here:
        return [name, "", "", "", f"not here: {tally.not_here}"]
    share = tally.hits / tally.runs
    return [name, f"{tally.hits} of {tally.runs}", percent(share), percent(wilson(tally.hits, tally.runs)),
            targets.holds(f"≥ {percent(GOAL)}", share >= GOAL)]


def section(title: str, tallies: dict[str, Tally], targets: Targets) -> Section:
    made = Section(title, ["bottleneck", "right", "share", "at least, by Wilson", "goal"])
    for name, tally in tallies.items():
        before = len(targets.missed)
        made.rows.append(row(name, tally, targets))
        targets.missed[before:] = [f"{name}: {missed}" for missed in targets.missed[before:]]
        made.remarks += [f"{name}, {miss}" for miss in tally.misses]
    return made


def diagnosis(vtrace: str, build: str, runs: int, seed: int | None, only: str | None, targets: Targets,
              problems: list[str]) -> str:
    """The tables, as markdown."""
    os.environ.update(VTRACE=vtrace, VTRACE_BUILD=os.path.abspath(build))
    sys.path.insert(0, str(LIVE))
    chosen = random.randrange(1 << 32) if seed is None else seed
    trials = Trials(runs, chosen)
    pairs = {" and ".join(pair): pair for pair in trials.scenes.PAIRS}
    groups = {
        "Each cause, alone": {name: (name,) for name in trials.scenes.BOTTLENECKS},
        "Two at once: both named": pairs,
        "Healthy hosts: nothing above P3": {name: (name,) for name in trials.scenes.HEALTHY},
    }
    texts, others = [], 0.0
    for title, group in groups.items():
        tallies = {}
        for name, names in group.items():
            if only in (None, name):
                try:
                    tallies[name] = trials.of(*names)
                except common.NotMeasured as problem:
                    problems.append(str(problem))
        others = max([others, *(tally.others for tally in tallies.values())])
        if tallies:
            texts.append(section(title, tallies, targets).markdown())
    about = (f"{runs} runs of each, of {trials.live.WINDOW} s, with the seed {chosen}: a third at each of three "
             f"intensities. Somebody else had up to {percent(others)} of the CPUs.")
    return "\n\n".join([about, *texts])
