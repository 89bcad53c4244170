# SPDX-License-Identifier: GPL-2.0-only
"""Figures, targets and the tables of the bench, in markdown that also reads well on a terminal."""

import pathlib
import statistics
from dataclasses import dataclass, field


def median(values: list[float]) -> float:
    return statistics.median(values)


def ratios(values: list[float], bases: list[float] | None) -> list[float]:
    """Round by round, so that what disturbs a whole round cancels out. Without bases none."""
    return [] if bases is None else [value / base for value, base in zip(values, bases)]


def spread(values: list[float], decimals: int = 0) -> str:
    """Median, and the range it is from."""
    low, middle, high = (f"{f(values):,.{decimals}f}" for f in (min, median, max))
    return f"{middle} ({low} to {high})"


# Student's t for 95 % on both sides, by degrees of freedom; beyond these, the normal distribution's.
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)


def confidence(values: list[float], decimals: int = 0) -> str:
    """Mean, and the interval that it is in with a confidence of 95 %."""
    if len(values) < 2:
        return spread(values, decimals)
    degrees = len(values) - 1
    factor = STUDENT[degrees - 1] if degrees <= len(STUDENT) else 1.96
    half = factor * statistics.stdev(values) / len(values) ** 0.5
    mean = statistics.mean(values)
    return f"{mean:,.{decimals}f} ({mean - half:,.{decimals}f} to {mean + half:,.{decimals}f})"


def times(values: list[float]) -> str:
    return f"{median(values):.2f} ×" if values else "not measured"


@dataclass
class Targets:
    """Compares figures with their limits and remembers what was missed."""

    missed: list[str] = field(default_factory=list)

    def at_most(self, what: str, values: list[float], limit: float) -> str:
        return self.holds(what, median(values) <= limit) if values else f"{what}: not measured"

    def holds(self, what: str, good: bool) -> str:
        if not good:
            self.missed.append(what)
        return f"{what}: {'ok' if good else 'MISSED'}"


@dataclass
class Section:
    """One part of the bench: a table and the remarks below it."""

    title: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def only_ratios(self) -> "Section":
        """For a machine whose times mean nothing: an emulated one."""
        keep = [0, *(i for i, name in enumerate(self.header) if name.startswith("of "))]
        rows = [[row[i] for i in keep] for row in self.rows]
        return Section(self.title, [self.header[i] for i in keep], rows)

    def markdown(self) -> str:
        widths = [max(len(cell) for cell in column) for column in zip(self.header, *self.rows)]
        rule = ["-" * width for width in widths]
        lines = [f"**{self.title}**", ""]
        for row in (self.header, rule, *self.rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths))
            lines.append("| " + " | ".join(cells) + " |")
        if self.remarks:
            lines += ["", *(f"- {remark}" for remark in self.remarks)]
        return "\n".join(lines)


def around_markers(path: pathlib.Path, name: str) -> tuple[str, str]:
    """The text up to the first marker of this name and from the second on."""
    first, last = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    text = path.read_text()
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end or first in after or last in before or last in after:
        raise ValueError(f"{path}: needs {first} and then {last}, once each")
    return before + begin, end + after


def write_between_markers(path: pathlib.Path, name: str, text: str) -> None:
    before, after = around_markers(path, name)
    path.write_text(f"{before}\n{text}\n{after}")
