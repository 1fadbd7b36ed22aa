"""The statistic of the sequential test, trade by trade, under its threshold."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup

from tidegate.backtest.result import Floats
from tidegate.report import formats
from tidegate.report.charts.canvas import Canvas
from tidegate.report.charts.layout import LAYOUTS, Layout
from tidegate.report.charts.scales import Scale, ticks
from tidegate.report.thinning import extremes

_TOP: Final = 22
_HEIGHT: Final = 190
_FOOT: Final = 44


@dataclass(frozen=True, slots=True, eq=False)
class CusumPicture:
    """What to draw: (m,) values after each trade, the threshold, and the alarm's row and words if there was one."""

    description: str
    statistic: Floats
    threshold: float
    alarm: int | None
    alarm_words: str


def cusum_chart(picture: CusumPicture) -> Markup:
    """Draw the picture in both sizes; nothing at all without trades or a threshold."""
    usable = np.isfinite(picture.statistic).any() and np.isfinite(picture.threshold) and picture.threshold > 0
    return Markup("").join(_draw(picture, layout) for layout in LAYOUTS) if usable else Markup("")


def _draw(picture: CusumPicture, layout: Layout) -> Markup:
    bottom = _TOP + _HEIGHT
    title = "Statistic of the sequential test after each closed trade, and its threshold"
    canvas = Canvas(f"cusum-{layout.css}", layout.width, bottom + _FOOT, title, picture.description)
    trades = len(picture.statistic)
    highest = max(float(np.nanmax(picture.statistic)), picture.threshold)
    across = Scale(0.0, float(max(trades, 1)), layout.left, layout.end)
    up = Scale(0.0, highest * 1.1, bottom, _TOP)
    places = 0 if highest >= 4 else 1
    marks = [(value, formats.decimal(value, places)) for value in ticks(0.0, up.high, 4)]
    canvas.marks_left(up, marks, layout.left, layout.end)
    canvas.line(layout.left, bottom, layout.end, bottom, "axis")
    level = up.at(picture.threshold)
    canvas.line(layout.left, level, layout.end, level, "limit")
    canvas.text(layout.left + 6, level - 6, f"alarm at {formats.decimal(picture.threshold)}", "label limit-label")
    values = np.concatenate(([0.0], picture.statistic))
    rows = extremes(values, layout.points)
    canvas.curve(across(rows.astype(np.float64)), up(values[rows]), "line main")
    if picture.alarm is not None and np.isfinite(picture.statistic[picture.alarm]):
        _alarm(canvas, picture, across, up, picture.alarm)
    below = [(value, formats.count(value)) for value in ticks(0, trades, layout.marks) if value == round(value)]
    canvas.marks_below(across, below, bottom)
    canvas.text(
        (layout.left + layout.end) / 2, bottom + _FOOT - 6, "Closed trades in production", "label faint", "middle"
    )
    return canvas.markup(layout.css)


def _alarm(canvas: Canvas, picture: CusumPicture, across: Scale, up: Scale, row: int) -> None:
    x, y = across.at(row + 1), up.at(float(picture.statistic[row]))
    canvas.line(x, _TOP, x, up.start, "limit")
    canvas.dot(x, y, 4.5, "dot alarm", picture.alarm_words)
    right = x < (across.start + across.end) / 2
    canvas.text(
        x + (8 if right else -8), up.start - 10, picture.alarm_words, "label limit-label", "start" if right else "end"
    )
