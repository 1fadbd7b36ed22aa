"""Equity of one or two series over time, with fold boundaries, and the drawdown under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup

from tidegate.bars.bars import Floats, Times
from tidegate.report import formats
from tidegate.report.charts.canvas import Canvas
from tidegate.report.charts.layout import LAYOUTS, Layout
from tidegate.report.charts.scales import Scale, domain, nice_step, ticks, time_ticks
from tidegate.report.thinning import extremes

_TOP: Final = 22
_EQUITY_HEIGHT: Final = 260
_GAP: Final = 34
_DRAWDOWN_HEIGHT: Final = 96
_FOOT: Final = 26


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line: a name, its class in the style, and (n,) equity in the quote currency."""

    name: str
    css: str
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class EquityPicture:
    """What to draw.

    Attributes:
        name: unique on the page.
        title, description: in words, for those who do not see the chart.
        closed_at: (n,) UTC ms.
        lines: the first is the main one.
        capital: marked as the level of no profit.
        drawdown: (n,) fractions below the peak, >= 0; None for no second panel.
        limit: the gate's largest drawdown, if there is one.
        folds: when each fold's test window begins, UTC ms.
    """

    name: str
    title: str
    description: str
    closed_at: Times
    lines: Sequence[Line]
    capital: float
    drawdown: Floats | None = None
    limit: float | None = None
    folds: Sequence[int] = ()


def equity_chart(picture: EquityPicture) -> Markup:
    """Draw the picture in both sizes; nothing at all without bars."""
    if len(picture.closed_at) == 0 or not any(np.isfinite(line.values).any() for line in picture.lines):
        return Markup("")
    return Markup("").join(_draw(picture, layout) for layout in LAYOUTS)


def _draw(picture: EquityPicture, layout: Layout) -> Markup:
    bottom = _TOP + _EQUITY_HEIGHT
    panels = _GAP + _DRAWDOWN_HEIGHT if picture.drawdown is not None else 0
    height = bottom + panels + _FOOT
    canvas = Canvas(f"{picture.name}-{layout.css}", layout.width, height, picture.title, picture.description)
    start, end = _time_domain(picture.closed_at)
    across = Scale(start, end, layout.left, layout.end)
    _folds(canvas, picture, across, height - _FOOT)
    low, high = domain(*(line.values for line in picture.lines), picture.capital)
    up = Scale(low, high, bottom, _TOP)
    canvas.marks_left(up, _money_marks(low, high), layout.left, layout.end)
    canvas.line(layout.left, up.at(picture.capital), layout.end, up.at(picture.capital), "zero")
    for line in reversed(picture.lines):
        rows = extremes(line.values, layout.points)
        canvas.curve(across(picture.closed_at[rows].astype(np.float64)), up(line.values[rows]), f"line {line.css}")
    if picture.drawdown is not None:
        _drawdown(canvas, picture, picture.drawdown, across, layout, bottom + _GAP)
    canvas.marks_below(across, time_ticks(start, end, layout.marks), height - _FOOT)
    data: dict[str, float | str] = {"x0": layout.left, "x1": layout.end, "y0": _TOP, "y1": height - _FOOT}
    return canvas.markup(layout.css, data | {"t0": start, "t1": end})


def _time_domain(closed_at: Times) -> tuple[float, float]:
    start, end = float(closed_at[0]), float(closed_at[-1])
    return (start, end) if end > start else (start - 1.0, end + 1.0)


def _money_marks(low: float, high: float) -> list[tuple[float, str]]:
    places = 0 if nice_step(high - low, 5) >= 1 else 2
    return [(value, formats.decimal(value, places)) for value in ticks(low, high, 5)]


def _folds(canvas: Canvas, picture: EquityPicture, across: Scale, bottom: float) -> None:
    crowded = len(picture.folds) > 12
    for number, begins_at in enumerate(picture.folds, start=1):
        x = max(across.at(begins_at), across.start)
        if x > across.end:
            continue
        if number > 1:
            canvas.line(x, _TOP - 12, x, bottom, "fold")
        if not crowded:
            canvas.text(x + 5, _TOP - 6, f"Fold {number}" if across.end > 500 else str(number), "label faint")


def _drawdown(
    canvas: Canvas, picture: EquityPicture, drawdown: Floats, across: Scale, layout: Layout, top: float
) -> None:
    limit = picture.limit if picture.limit is not None and np.isfinite(picture.limit) else None
    deepest = float(np.nanmax(drawdown)) if np.isfinite(drawdown).any() else 0.0
    floor = max(deepest * 1.12, (limit or 0.0) * 1.12, 0.01)
    down = Scale(0.0, floor, top, top + _DRAWDOWN_HEIGHT)
    places = 0 if nice_step(floor, 3) >= 0.01 else 1
    marks = [(value, formats.percent(-value, places)) for value in ticks(0.0, floor, 3)]
    canvas.marks_left(down, marks, layout.left, layout.end)
    canvas.text(layout.left, top - 8, "Drawdown, worst moment inside each bar", "label faint")
    rows = extremes(drawdown, layout.points)
    xs, ys = across(picture.closed_at[rows].astype(np.float64)), down(drawdown[rows])
    canvas.area(xs, ys, top, "fill loss")
    canvas.curve(xs, ys, "line loss thin")
    if limit is not None:
        canvas.line(layout.left, down.at(limit), layout.end, down.at(limit), "limit")
        canvas.text(layout.end, down.at(limit) - 5, f"gate {formats.percent(-limit)}", "label limit-label", "end")
