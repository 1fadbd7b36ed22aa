"""A small gauge for a key figure: the value, its interval and the gate's threshold on one line."""

import math
from typing import Final

from markupsafe import Markup

from tidegate.report.charts.canvas import Canvas
from tidegate.report.charts.scales import Scale, domain

_WIDTH: Final = 220
_HEIGHT: Final = 22


def gauge(name: str, description: str, value: float, ends: tuple[float, float] | None, threshold: float) -> Markup:
    """Draw the gauge; nothing at all unless value and threshold are finite."""
    if not (math.isfinite(value) and math.isfinite(threshold)):
        return Markup("")
    interval = ends if ends and all(map(math.isfinite, ends)) else (value, value)
    low, high = domain(value, threshold, interval[0], interval[1], pad=0.08)
    across = Scale(low, high, 4, _WIDTH - 4)
    canvas = Canvas(f"gauge-{name}", _WIDTH, _HEIGHT, "Observed value, its interval and the threshold", description)
    canvas.line(0, 11, _WIDTH, 11, "grid")
    if interval[1] > interval[0]:
        canvas.line(across.at(interval[0]), 11, across.at(interval[1]), 11, "span")
    canvas.line(across.at(threshold), 2, across.at(threshold), 20, "threshold")
    canvas.dot(across.at(value), 11, 4.5, "dot")
    return canvas.markup("gauge")
