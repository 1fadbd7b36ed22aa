"""Equity live against the band of what was promised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup

from tidegate.backtest.result import Floats, Times
from tidegate.monitoring.page.promise import Band
from tidegate.report import formats
from tidegate.report.charts.canvas import Canvas
from tidegate.report.charts.layout import LAYOUTS, Layout
from tidegate.report.charts.scales import Scale, domain, nice_step, ticks, time_ticks
from tidegate.report.thinning import extremes

_TOP: Final = 24
_HEIGHT: Final = 300
_FOOT: Final = 26
_BAND_POINTS: Final = 120


@dataclass(frozen=True, slots=True, eq=False)
class PromisePicture:
    """What to draw.

    Attributes:
        title, description: in words, for those who do not see the chart.
        closed_at: (n,) UTC ms.
        equity: (n,) in the quote currency.
        capital: marked as the level of no profit.
        band: of the version in production, None where nothing was promised.
        changes: when each further version answered first, UTC ms, with its name.
    """

    title: str
    description: str
    closed_at: Times
    equity: Floats
    capital: float
    band: Band | None
    changes: Sequence[tuple[int, str]] = ()


def promise_chart(picture: PromisePicture) -> Markup:
    """Draw the picture in both sizes; nothing at all without bars."""
    if not np.isfinite(picture.equity).any():
        return Markup("")
    return Markup("").join(_draw(picture, layout) for layout in LAYOUTS)


def _draw(picture: PromisePicture, layout: Layout) -> Markup:
    bottom = _TOP + _HEIGHT
    canvas = Canvas(f"promise-{layout.css}", layout.width, bottom + _FOOT, picture.title, picture.description)
    start, end = float(picture.closed_at[0]), float(picture.closed_at[-1])
    start, end = (start, end) if end > start else (start - 1.0, end + 1.0)
    across = Scale(start, end, layout.left, layout.end)
    band = picture.band
    edges = () if band is None else (band.mean - 2 * band.error, band.mean + 2 * band.error)
    low, high = domain(picture.equity, picture.capital, *edges)
    up = Scale(low, high, bottom, _TOP)
    if band is not None:
        _band(canvas, picture.closed_at, band, across, up)
    places = 0 if nice_step(high - low, 5) >= 1 else 2
    marks = [(value, formats.decimal(value, places)) for value in ticks(low, high, 5)]
    canvas.marks_left(up, marks, layout.left, layout.end)
    canvas.line(layout.left, up.at(picture.capital), layout.end, up.at(picture.capital), "zero")
    _changes(canvas, picture, across, bottom)
    if band is not None:
        rows = _spread(band)
        canvas.curve(across(picture.closed_at[band.first + rows].astype(np.float64)), up(band.mean[rows]), "line rival")
    rows = extremes(picture.equity, layout.points)
    canvas.curve(across(picture.closed_at[rows].astype(np.float64)), up(picture.equity[rows]), "line main")
    canvas.marks_below(across, time_ticks(start, end, layout.marks), bottom)
    return canvas.markup(layout.css)


def _band(canvas: Canvas, closed_at: Times, band: Band, across: Scale, up: Scale) -> None:
    rows = _spread(band)
    xs = across(closed_at[band.first + rows].astype(np.float64))
    for times in (2, 1):
        upper, lower = (up(band.mean[rows] + sign * times * band.error[rows]) for sign in (1, -1))
        there, back = _points(xs, upper), _points(xs[::-1], lower[::-1])
        canvas.add("path", "promise", d=f"M{there} {back}Z")


def _spread(band: Band) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.unique(np.linspace(0, len(band.mean) - 1, min(_BAND_POINTS, len(band.mean))).astype(np.intp))


def _points(xs: Floats, ys: Floats) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True))


def _changes(canvas: Canvas, picture: PromisePicture, across: Scale, bottom: float) -> None:
    for at, name in picture.changes:
        x = across.at(at)
        if across.start <= x <= across.end:
            canvas.line(x, _TOP - 14, x, bottom, "fold")
            room = 6.6 * len(name) + 5
            anchor, place = ("end", x - 5) if x + room > across.end else ("start", x + 5)
            canvas.text(place, _TOP - 8, name, "label faint", anchor)
