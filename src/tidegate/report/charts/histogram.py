"""Histograms: counts over equal bins, with marks for the values that matter."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from tidegate.bars.bars import Floats
from tidegate.report import formats
from tidegate.report.charts.canvas import Canvas
from tidegate.report.charts.layout import HALF
from tidegate.report.charts.scales import Scale, nice_step, ticks

_HEIGHT: Final = 250
_TOP: Final = 40
_FOOT: Final = 42
_MOST_BINS: Final = 48


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line at a value, named above the plot."""

    value: float
    label: str
    css: str = "mark"


@dataclass(frozen=True, slots=True, eq=False)
class HistogramPicture:
    """What to draw: (n,) values (only finite ones count), words for them, and marks.

    `split` colours bins below and above zero as losses and gains. `whole` is for counts: bins are whole numbers wide.
    """

    name: str
    title: str
    description: str
    values: Floats
    axis: str
    show: Callable[[float], str]
    marks: Sequence[Mark] = ()
    split: bool = False
    whole: bool = False


def bins(values: Floats, *, whole: bool = False) -> tuple[Floats, NDArray[np.int64]]:
    """Edges at multiples of a round step, zero among them, so that no bin holds both gains and losses; and the counts.

    The step follows Freedman and Diaconis, within 8 to 48 bins.
    """
    low, high = float(values.min()), float(values.max())
    reach = high - low
    if reach <= 0:
        step = 1.0 if whole else nice_step(abs(low) or 1.0, 10)
    else:
        quarter = float(np.subtract(*np.percentile(values, [75, 25])))
        wanted = reach / (2 * quarter / len(values) ** (1 / 3)) if quarter > 0 else 24.0
        step = nice_step(reach, int(min(max(wanted, 8), _MOST_BINS - 2)))
    if whole:
        # Whole values sit in the middle of their bin, and each has its own where there is room.
        step = 1.0 if reach < _MOST_BINS else float(math.ceil(step))
    first, last = math.floor(low / step), math.floor(high / step) + 1
    edges = np.arange(first, last + 1, dtype=np.float64) * step - (0.5 if whole else 0.0)
    return edges, np.histogram(values, edges)[0].astype(np.int64)


def histogram_chart(picture: HistogramPicture) -> Markup:
    """Draw the picture; nothing at all without finite values."""
    values = picture.values[np.isfinite(picture.values)]
    if len(values) == 0:
        return Markup("")
    edges, counts = bins(values, whole=picture.whole)
    marked = [mark for mark in picture.marks if math.isfinite(mark.value)]
    canvas = Canvas(f"{picture.name}-half", HALF.width, _HEIGHT, picture.title, picture.description)
    low = min([float(edges[0]), *(mark.value for mark in marked)])
    high = max([float(edges[-1]), *(mark.value for mark in marked)])
    room = (high - low) * 0.03
    across = Scale(low - room, high + room, HALF.left, HALF.end)
    up = Scale(0.0, float(counts.max()) * 1.08, _HEIGHT - _FOOT, _TOP)
    canvas.marks_left(up, [(v, formats.count(v)) for v in ticks(0, up.high, 4) if v == round(v)], HALF.left, HALF.end)
    for left, right, number in zip(edges[:-1], edges[1:], counts.tolist(), strict=True):
        css = ("bar loss" if right <= 0 else "bar gain") if picture.split else "bar"
        x = across.at(float(left))
        width = across.at(float(right)) - x
        first, last = (math.ceil(left), math.floor(right)) if picture.whole else (float(left), float(right))
        values_of_bin = picture.show(first) if first == last else f"{picture.show(first)} to {picture.show(last)}"
        tip = f"{values_of_bin}: {formats.count(number)}"
        canvas.box(x + 0.5, up.at(number), width - 1, up.start - up.at(number), css, tip)
    canvas.line(HALF.left, up.start, HALF.end, up.start, "axis")
    below = [value for value in ticks(low, high, 5) if not picture.whole or value == round(value)]
    canvas.marks_below(across, [(value, picture.show(value)) for value in below], up.start)
    canvas.text((HALF.left + HALF.end) / 2, _HEIGHT - 6, picture.axis, "label faint", "middle")
    for row, mark in enumerate(marked):
        _mark(canvas, mark, across, up.start, row)
    return canvas.markup("half")


def _mark(canvas: Canvas, mark: Mark, across: Scale, bottom: float, row: int) -> None:
    x, y = across.at(mark.value), 12 + 14 * row
    canvas.line(x, y + 5, x, bottom, mark.css)
    half = 3.3 * len(mark.label)
    centre = min(max(x, half + 2), canvas.width - half - 2)
    canvas.text(centre, y, mark.label, "label strong", "middle")
