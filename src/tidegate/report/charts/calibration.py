"""Calibration: how often a forecast probability came true, and how many forecasts there were of each."""

from typing import Final

import numpy as np
from markupsafe import Markup

from tidegate.backtest.ratios import wilson_interval
from tidegate.bars.bars import Floats
from tidegate.report import formats
from tidegate.report.charts.canvas import Canvas
from tidegate.report.charts.layout import HALF
from tidegate.report.charts.scales import Scale, domain, ticks

_TOP: Final = 14
_PLOT: Final = 250
_GAP: Final = 30
_COUNTS: Final = 64
_FOOT: Final = 42
LEAST_COUNT: Final = 20
"""Forecasts under which a bin's share says nothing; it would stretch the picture for the others."""
_HEIGHT: Final = _TOP + _PLOT + _GAP + _COUNTS + _FOOT


def calibration_chart(forecast: Floats, observed: Floats, count: Floats) -> Markup:
    """Draw the curve over the diagonal, with 95 % Wilson intervals, and the counts under it.

    Args:
        forecast: (k,) mean forecast of each bin.
        observed: (k,) share that came true.
        count: (k,) forecasts in each bin; bins without any are left out.
    """
    usable = np.isfinite(forecast) & np.isfinite(observed) & np.isfinite(count) & (count > 0)
    if not usable.any():
        return Markup("")
    order = np.flatnonzero(usable)[np.argsort(forecast[usable], kind="stable")]
    forecast, observed, count = forecast[order], observed[order], count[order]
    description = "; ".join(
        f"forecast {formats.percent(p, 1)}, came true {formats.percent(o, 1)}, n {formats.count(n)}"
        for p, o, n in zip(forecast.tolist(), observed.tolist(), count.tolist(), strict=True)
    )
    canvas = Canvas(
        "calibration-half", HALF.width, _HEIGHT, "Forecast probability against share come true", description
    )
    judged = count >= LEAST_COUNT
    across = Scale(*_fraction_domain(forecast), HALF.left, HALF.end)
    up = Scale(*_fraction_domain(np.append(observed[judged], forecast[judged])), _TOP + _PLOT, _TOP)
    canvas.marks_left(up, _marks(up), HALF.left, HALF.end)
    _diagonal(canvas, across, up)
    _curve(canvas, across, up, forecast[judged], observed[judged], count[judged])
    _counts(canvas, across, forecast, count)
    canvas.marks_below(across, _marks(across), _HEIGHT - _FOOT)
    canvas.text(
        (across.start + across.end) / 2, _HEIGHT - 6, "Forecast probability of a long win", "label faint", "middle"
    )
    return canvas.markup("half")


def _fraction_domain(values: Floats) -> tuple[float, float]:
    low, high = domain(values, pad=0.12)
    return max(low, 0.0), min(high, 1.0)


def _marks(scale: Scale) -> list[tuple[float, str]]:
    found = ticks(scale.low, scale.high, 5)
    places = 0 if all(abs(value * 100 - round(value * 100)) < 1e-6 for value in found) else 1
    return [(value, formats.percent(value, places)) for value in found]


def _diagonal(canvas: Canvas, across: Scale, up: Scale) -> None:
    low, high = max(across.low, up.low), min(across.high, up.high)
    if low < high:
        canvas.line(across.at(low), up.at(low), across.at(high), up.at(high), "ideal")


def _curve(canvas: Canvas, across: Scale, up: Scale, forecast: Floats, observed: Floats, count: Floats) -> None:
    for p, o, n in zip(forecast.tolist(), observed.tolist(), count.tolist(), strict=True):
        ends = np.clip(wilson_interval(round(o * n), round(n)), up.low, up.high)
        canvas.line(across.at(p), up.at(float(ends[0])), across.at(p), up.at(float(ends[1])), "whisker")
    canvas.curve(across(forecast), up(observed), "line main thin")
    for p, o, n in zip(forecast.tolist(), observed.tolist(), count.tolist(), strict=True):
        tip = f"forecast {formats.percent(p)}, came true {formats.percent(o)}, n {formats.count(n)}"
        canvas.dot(across.at(p), up.at(o), 4, "dot", tip)


def _counts(canvas: Canvas, across: Scale, forecast: Floats, count: Floats) -> None:
    top = _TOP + _PLOT + _GAP
    up = Scale(0.0, float(count.max()) * 1.05, top + _COUNTS, top)
    canvas.text(across.start, top - 8, "Forecasts in each bin", "label faint")
    canvas.marks_left(up, [(value, formats.count(value)) for value in ticks(0, up.high, 2)], across.start, across.end)
    places = across(forecast)
    width = max(3.0, min(18.0, float(np.min(np.diff(np.sort(places)))) * 0.8 if len(places) > 1 else 18.0))
    for x, number in zip(places.tolist(), count.tolist(), strict=True):
        canvas.box(x - width / 2, up.at(number), width, up.start - up.at(number), "bar", formats.count(number))
    canvas.line(across.start, up.start, across.end, up.start, "axis")
