"""The replay's one picture: every path's profit over the same months, what the procedure did, and its drawdown."""

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

_TOP: Final = 12
_PROFIT_HEIGHT: Final = 320
_GAP: Final = 36
_LANE: Final = 20
_DRAWDOWN_HEIGHT: Final = 96
_FOOT: Final = 26
LANES: Final = ("decided", "acted", "version")
"""Under the profit: what was decided each month, what was done in between, and when a version stood in production."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a sign looks: its lane, its outline around (0, 0), its class, and whether it may stand in every month."""

    lane: int
    outline: str
    css: str
    every_month: bool = False


SHAPES: Final = {
    "promoted": Shape(0, "M0,-5.5 L5.5,4.5 L-5.5,4.5Z", "sign good"),
    "refused": Shape(0, "M-3,-3 L3,3 M3,-3 L-3,3", "sign stroke", every_month=True),
    "failed": Shape(0, "M0,-6 L0,2 M0,4.2 L0,6", "sign stroke bad"),
    "none": Shape(0, "M-3,0 L3,0", "sign stroke", every_month=True),
    "rollback": Shape(1, "M0,5.5 L5.5,-4.5 L-5.5,-4.5Z", "sign bad"),
    "halt": Shape(1, "M-4.5,-4.5 L4.5,-4.5 L4.5,4.5 L-4.5,4.5Z", "sign bad"),
    "expiry": Shape(1, "M0,-5.5 L5.5,0 L0,5.5 L-5.5,0Z", "sign open"),
}
"""Kinds differ in shape, not only in colour."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One path: its name, its class in the style, and (n,) profit since the start over the capital."""

    name: str
    css: str
    profit: Floats


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that was decided or done: when (UTC ms), `kind` (a key of `SHAPES`), and the words for it."""

    at_ms: int
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Term:
    """One version's time in production, UTC ms, and the words for it."""

    start_ms: int
    end_ms: int
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class ReplayPicture:
    """What to draw.

    Attributes:
        name: unique on the page.
        title, description: in words, for those who do not see the chart.
        closed_at: (n,) UTC ms, the same for every line.
        lines: the first is the main one and lies on top.
        drawdown: (n,) of the main line, fractions of the capital's peak, >= 0; None for neither lanes nor drawdown.
        signs, terms: of the main line.
    """

    name: str
    title: str
    description: str
    closed_at: Times
    lines: Sequence[Line]
    drawdown: Floats | None = None
    signs: Sequence[Sign] = ()
    terms: Sequence[Term] = ()


def replay_chart(picture: ReplayPicture) -> Markup:
    """Draw the picture in both sizes; nothing at all without bars."""
    if not any(np.isfinite(line.profit).any() for line in picture.lines):
        return Markup("")
    return Markup("").join(_draw(picture, layout) for layout in LAYOUTS)


def _draw(picture: ReplayPicture, layout: Layout) -> Markup:
    bottom = _TOP + _PROFIT_HEIGHT
    lanes_top, down_top = bottom + _GAP, bottom + _GAP + _LANE * len(LANES) + _GAP
    end_y = bottom if picture.drawdown is None else down_top + _DRAWDOWN_HEIGHT
    canvas = Canvas(f"{picture.name}-{layout.css}", layout.width, end_y + _FOOT, picture.title, picture.description)
    start, end = float(picture.closed_at[0]), float(picture.closed_at[-1])
    start, end = (start, end) if end > start else (start - 1.0, end + 1.0)
    across = Scale(start, end, layout.left, layout.end)
    _profits(canvas, picture, across, layout)
    if picture.drawdown is not None:
        _lanes(canvas, picture, across, layout, lanes_top)
        _drawdown(canvas, picture.closed_at, picture.drawdown, across, layout, down_top)
    canvas.marks_below(across, time_ticks(start, end, layout.marks + 2), end_y)
    data: dict[str, float | str] = {"x0": layout.left, "x1": layout.end, "y0": _TOP, "y1": end_y}
    return canvas.markup(layout.css, data | {"t0": start, "t1": end})


def _profits(canvas: Canvas, picture: ReplayPicture, across: Scale, layout: Layout) -> None:
    low, high = domain(*(line.profit for line in picture.lines), 0.0)
    up = Scale(low, high, _TOP + _PROFIT_HEIGHT, _TOP)
    places = 0 if nice_step(high - low, 6) >= 0.01 else 1
    marks = [(value, formats.percent(value, places, signed=True)) for value in ticks(low, high, 6)]
    canvas.marks_left(up, marks, layout.left, layout.end)
    canvas.line(layout.left, up.at(0.0), layout.end, up.at(0.0), "zero")
    for line in reversed(picture.lines):
        # Several lines share the page's room, so each gets half the points of a line that stands alone.
        rows = extremes(line.profit, layout.points // 2)
        canvas.curve(across(picture.closed_at[rows].astype(np.float64)), up(line.profit[rows]), f"line {line.css}")


def _lanes(canvas: Canvas, picture: ReplayPicture, across: Scale, layout: Layout, top: float) -> None:
    for number, name in enumerate(LANES):
        middle = top + _LANE * (number + 0.5)
        canvas.line(layout.left, middle, layout.end, middle, "grid")
        canvas.text(layout.left - 11, middle + 4, name, "label faint", "end")
    decided = sum(SHAPES[sign.kind].lane == 0 for sign in picture.signs)
    room = (across.end - across.start) / max(decided, 1)
    for sign in picture.signs:
        shape = SHAPES[sign.kind]
        x = across.at(min(max(sign.at_ms, across.low), across.high))
        # Where months lie close together, what is drawn every month gives way to what is rare.
        least = 0.45 if shape.every_month else 0.7
        size = min(max(room / 10, least), 1.0)
        canvas.add(
            "path",
            shape.css,
            sign.words,
            d=shape.outline,
            transform=f"translate({x:.1f} {top + _LANE * (shape.lane + 0.5):.1f}) scale({size:.2f})",
        )
    middle = top + _LANE * (LANES.index("version") + 0.5)
    for term in picture.terms:
        left, right = (across.at(min(max(at, across.low), across.high)) for at in (term.start_ms, term.end_ms))
        # A gap of a pixel keeps one version from running into the next.
        canvas.box(left + 0.5, middle - 4, max(right - left - 1, 1.0), 8, "term", term.words)


def _drawdown(canvas: Canvas, closed_at: Times, drawdown: Floats, across: Scale, layout: Layout, top: float) -> None:
    deepest = float(np.nanmax(drawdown)) if np.isfinite(drawdown).any() else 0.0
    floor = max(deepest * 1.12, 0.01)
    down = Scale(0.0, floor, top, top + _DRAWDOWN_HEIGHT)
    places = 0 if nice_step(floor, 3) >= 0.01 else 1
    marks = [(value, formats.percent(-value, places)) for value in (ticks(0.0, floor, 3) if deepest > 0 else [0.0])]
    canvas.marks_left(down, marks, layout.left, layout.end)
    canvas.text(layout.left, top - 8, "Drawdown of the deployed procedure", "label faint")
    rows = extremes(drawdown, layout.points)
    xs, ys = across(closed_at[rows].astype(np.float64)), down(drawdown[rows])
    canvas.area(xs, ys, top, "fill loss")
    canvas.curve(xs, ys, "line loss thin")
