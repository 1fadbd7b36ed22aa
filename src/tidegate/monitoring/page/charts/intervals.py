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
_HEAD: Final = 4
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
    """One upright line: where, and its class; the legend names it."""

    value: float
    css: str


def intervals_chart(name: str, title: str, rows: Sequence[Interval], levels: Sequence[Level]) -> Markup:
    """Draw them; rows and levels that are not numbers are left out, nothing at all without a row.

    Args:
        name: unique on the page.
        title: in words.
        rows: from top to bottom.
        levels: across all rows.
    """
    shown = [row for row in rows if math.isfinite(row.value) and math.isfinite(row.low) and math.isfinite(row.high)]
    lines = [level for level in levels if math.isfinite(level.value)]
    if not shown:
        return Markup("")
    bottom = _HEAD + _ROW * len(shown)
    said = "; ".join(
        f"{row.name}: {formats.percent(row.value, 1)}, {formats.percent(row.low, 1)} to {formats.percent(row.high, 1)}"
        for row in shown
    )
    canvas = Canvas(f"{name}-half", HALF.width, bottom + _FOOT, title, said)
    ends = [end for row in shown for end in (row.low, row.high)]
    low, high = domain(*ends, *(level.value for level in lines), pad=0.1)
    across = Scale(max(low, 0.0), min(high, 1.0), 12, HALF.end)
    for value in ticks(across.low, across.high, 5):
        canvas.line(across.at(value), _HEAD, across.at(value), bottom, "grid")
    for level in lines:
        canvas.line(across.at(level.value), _HEAD, across.at(level.value), bottom, level.css)
    for at, row in enumerate(shown):
        _row(canvas, across, row, _HEAD + _ROW * at + 26)
    places = 0 if across.high - across.low > 0.05 else 1
    canvas.line(across.start, bottom, across.end, bottom, "axis")
    canvas.marks_below(
        across, [(value, formats.percent(value, places)) for value in ticks(across.low, across.high, 5)], bottom
    )
    return canvas.markup("half")


def _row(canvas: Canvas, across: Scale, row: Interval, y: float) -> None:
    canvas.line(across.at(row.low), y, across.at(row.high), y, "span")
    tip = f"{row.name}: {formats.percent(row.value)}, {formats.percent(row.low)} to {formats.percent(row.high)}"
    canvas.dot(across.at(row.value), y, 4.5, "dot", tip)
    canvas.text(across.start, y - 9, f"{row.name} {formats.percent(row.value, 1)}, {row.note}", "label knocked")
