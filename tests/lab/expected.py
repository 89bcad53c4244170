# SPDX-License-Identifier: GPL-2.0-only
"""What is expected of each test on each kernel: expected.toml.

    [group]
    test = "runs"                                # on every kernel
    other = { "5.10" = "the reason of the skip" } # runs on every other kernel
    third = { "*" = "the reason of the skip" }   # runs on none
"""

import pathlib
import tomllib

from kernels import SERIES

FILE = pathlib.Path(__file__).with_name("expected.toml")
RUNS = "runs"


def load(file=FILE):
    """{id: {series, or "*" for all: reason why it is not possible there}}"""
    table = {}
    for group, tests in tomllib.loads(file.read_text()).items():
        for name, where in tests.items():
            where = {} if where == RUNS else where
            table[f"{group}.{name}"] = where
    return table


def dump(table):
    """The text of the file."""
    lines = [
        "# Which test runs on which kernel of the lab, and why not where it cannot. A test that is not",
        "# here, or does otherwise, is red. `./dev lab --accept` writes the file anew: read what changed.",
    ]
    group = None
    for test in sorted(table):
        this, name = test.rsplit(".", 1)
        if this != group:
            group = this
            lines += ["", f'["{group}"]']
        reasons = table[test]
        if set(reasons) == set(SERIES) and len(set(reasons.values())) == 1:
            reasons = {"*": next(iter(reasons.values()))}
        where = ", ".join(f'"{series}" = {_quoted(why)}' for series, why in reasons.items())
        lines.append(f"{name} = " + (f"{{ {where} }}" if where else f'"{RUNS}"'))
    return "\n".join(lines) + "\n"


def _quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def judge(table, series, test, outcome, detail):
    """None if the outcome is the expected one, else what is wrong with it."""
    if outcome not in ("pass", "skip", "elsewhere"):
        return outcome
    if test not in table:
        return "is not in expected.toml (./dev lab --accept)"
    if outcome == "elsewhere":
        return None
    why = table[test].get(series, table[test].get("*"))
    if outcome == "skip" and why is None:
        return f"was skipped, but is expected to run: {detail}"
    if outcome == "skip" and why != detail:
        return f"was skipped for another reason than expected: {detail}"
    if outcome == "pass" and why is not None:
        return f"ran, but is expected to be impossible: {why}"
    return None
