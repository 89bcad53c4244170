# SPDX-License-Identifier: GPL-2.0-only
"""What the lab prints: kernel × test with times, and the README's kernel × feature."""

import dataclasses
import re

WIDTH = 7


@dataclasses.dataclass
class Outcome:
    """What became of one test on one kernel. `wrong` is None if that was expected."""

    outcome: str
    seconds: float
    detail: str
    wrong: str | None


def colours(on):
    return {"red": "\033[31m", "dim": "\033[2m", "end": "\033[0m"} if on else dict.fromkeys(
        ("red", "dim", "end"), ""
    )


def results(columns, colour=False):
    """columns: {series: {id: Outcome}}. A row for each test, a column for each kernel."""
    paint = colours(colour)
    tests = sorted({test for column in columns.values() for test in column})
    names = [test.rsplit(".", 1) for test in tests]
    left = max([len(name) for _, name in names] + [20]) + 4
    lines = [" " * left + "".join(f"{series:>{WIDTH}}" for series in columns)]
    group = None
    for test, (this, name) in zip(tests, names):
        if this != group:
            group = this
            lines.append(group)
        cells = [_cell(column.get(test), paint) for column in columns.values()]
        lines.append(f"  {name:<{left - 2}}" + "".join(cells))
    totals = [sum(o.seconds for o in column.values()) for column in columns.values()]
    lines.append(f"{'seconds in all':<{left}}" + "".join(f"{total:{WIDTH}.0f}" for total in totals))
    return "\n".join(lines)


def _cell(outcome, paint):
    if outcome is None or (outcome.outcome == "elsewhere" and not outcome.wrong):
        return f"{'-':>{WIDTH}}"
    if outcome.wrong:
        return f"{paint['red']}{'FAIL' if outcome.outcome != 'skip' else 'SKIP':>{WIDTH}}{paint['end']}"
    if outcome.outcome == "skip":
        return f"{paint['dim']}{'no':>{WIDTH}}{paint['end']}"
    return f"{outcome.seconds:{WIDTH}.1f}"


# ---- the README ----

BEGIN, END = "<!-- kernels:begin -->", "<!-- kernels:end -->"


def features(kernels):
    """kernels: [(series, checks of `vtrace check --format json`, all tests are as expected)]. A
    Markdown table: no versions, so that it does not go stale with each update of a kernel."""
    names = list(dict.fromkeys(check["name"] for _, checks, _ in kernels for check in checks))
    names = [name for name in names if not name.startswith("CAP_")]  # root has them all
    rows = [["feature", *(series for series, _, _ in kernels)]]
    for name in names:
        cells = []
        for _, checks, _ in kernels:
            found = [check for check in checks if check["name"] == name]
            cells.append(_feature(found[0]) if found else "–")
        rows.append([name, *cells])
    rows.append(["live tests", *("pass" if good else "**fail**" for _, _, good in kernels)])
    rows.insert(1, ["---"] * len(rows[0]))
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def _feature(check):
    if check["available"]:
        return "yes"
    fallback = re.match(r"fallback: (an? )?([^(]*)", check["remark"])
    return fallback.group(2).strip() if fallback else "no"


def in_readme(text):
    """The block between the marks of a README, without them."""
    return text.split(BEGIN)[1].split(END)[0].strip("\n") + "\n"


def with_block(text, block):
    head, rest = text.split(BEGIN)
    return head + BEGIN + "\n" + block + END + rest.split(END)[1]
