"""Shares with their confidence intervals under one another, and upright lines for the levels that they are held against."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from tidegate.report import formats
from tidegate.report.charts.canvas import Canvas
from tidegate.report.charts.layout import HALF
from tidegate.report.charts.scales import Scale, domain, ticks

_ROW: Final = 34
_HEAD: Final = 16
_FOOT: Final = 28


@dataclass(frozen=True, slots=True)
class Interval:
    """One share: its name, value and interval's ends, as fractions; `note` is shown behind the name."""

    name: str
    value: float
    low: float
    high: float
    note: str


@dataclass(frozen=True, slots=True)
class Level:
    """One upright line: what it is, where, and its class."""

    name: str
    value: float
    css: str = "threshold"


def intervals_chart(name: str, title: str, rows: Sequence[Interval], levels: Sequence[Level]) -> Markup:
    """Draw them; rows and levels that are not numbers are left out, nothing at all without a row.

    Args:
        name: unique on the page.
        title: in words.
        rows: from top to bottom.
        levels: named in a line of their own each, above the rows.
    """
    shown = [row for row in rows if math.isfinite(row.value) and math.isfinite(row.low) and math.isfinite(row.high)]
    lines = [level for level in levels if math.isfinite(level.value)]
    if not shown:
        return Markup("")
    head = _HEAD * len(lines) + 8
    bottom = head + _ROW * len(shown)
    said = "; ".join(
        f"{row.name}: {formats.percent(row.value, 1)}, {formats.percent(row.low, 1)} to {formats.percent(row.high, 1)}"
        for row in shown
    )
    canvas = Canvas(f"{name}-half", HALF.width, bottom + _FOOT, title, said)
    ends = [end for row in shown for end in (row.low, row.high)]
    low, high = domain(*ends, *(level.value for level in lines), pad=0.1)
    across = Scale(max(low, 0.0), min(high, 1.0), 12, HALF.end)
    for value in ticks(across.low, across.high, 5):
        canvas.line(across.at(value), head, across.at(value), bottom, "grid")
    for at, level in enumerate(lines):
        _level(canvas, across, level, _HEAD * (at + 1) - 4, bottom)
    for at, row in enumerate(shown):
        _row(canvas, across, row, head + _ROW * at + 24)
    places = 0 if across.high - across.low > 0.05 else 1
    canvas.line(across.start, bottom, across.end, bottom, "axis")
    canvas.marks_below(
        across, [(value, formats.percent(value, places)) for value in ticks(across.low, across.high, 5)], bottom
    )
    return canvas.markup("half")


def _level(canvas: Canvas, across: Scale, level: Level, y: float, bottom: float) -> None:
    x = across.at(level.value)
    canvas.line(x, y + 3, x, bottom, level.css)
    words = f"{level.name} {formats.percent(level.value, 1)}"
    half = 3.4 * len(words)
    canvas.text(min(max(x, half + 2), canvas.width - half - 2), y, words, "label faint", "middle")


def _row(canvas: Canvas, across: Scale, row: Interval, y: float) -> None:
    canvas.line(across.at(row.low), y, across.at(row.high), y, "span")
    tip = f"{row.name}: {formats.percent(row.value)}, {formats.percent(row.low)} to {formats.percent(row.high)}"
    canvas.dot(across.at(row.value), y, 4.5, "dot", tip)
    canvas.text(across.start, y - 9, f"{row.name} {formats.percent(row.value, 1)}, {row.note}", "label knocked")
