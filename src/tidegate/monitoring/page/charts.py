"""The sequential test's statistic over the closed trades, with its threshold."""

from typing import Final

import numpy as np
from markupsafe import Markup

from tidegate.monitoring.result import Sequential
from tidegate.report import formats
from tidegate.report.charts.canvas import Canvas
from tidegate.report.charts.layout import LAYOUTS, Layout
from tidegate.report.charts.scales import Scale, ticks
from tidegate.report.thinning import extremes

_TOP: Final = 22
_PLOT: Final = 200
_FOOT: Final = 42


def cusum_chart(found: Sequential) -> Markup:
    """Draw it in both sizes; nothing without a closed trade or a threshold."""
    if not (found.testable and len(found.statistic) and np.isfinite(found.threshold) and found.threshold > 0):
        return Markup("")
    return Markup("").join(_draw(found, layout) for layout in LAYOUTS)


def _draw(found: Sequential, layout: Layout) -> Markup:
    n = len(found.statistic)
    newest = formats.decimal(float(found.statistic[-1]))
    description = (
        f"{formats.plural(n, 'closed trade')}, newest value {newest}, threshold {formats.decimal(found.threshold)}"
    )
    canvas = Canvas(
        f"cusum-{layout.css}", layout.width, _TOP + _PLOT + _FOOT, "Evidence against the promised win rate", description
    )
    highest = max(found.threshold, float(np.nanmax(found.statistic))) * 1.1
    up = Scale(0.0, highest, _TOP + _PLOT, _TOP)
    across = Scale(0.0, float(max(n, 2)), layout.left, layout.end)
    canvas.marks_left(
        up, [(value, formats.decimal(value, 1)) for value in ticks(0.0, highest, 4)], layout.left, layout.end
    )
    line = np.concatenate(([0.0], found.statistic))
    rows = extremes(line, layout.points)
    canvas.curve(across(rows.astype(np.float64)), up(line[rows]), "line main")
    canvas.line(layout.left, up.at(found.threshold), layout.end, up.at(found.threshold), "limit")
    canvas.text(
        layout.end,
        up.at(found.threshold) - 5,
        f"alarm at {formats.decimal(found.threshold)}",
        "label limit-label",
        "end",
    )
    if found.alarm_trade is not None:
        x = across.at(found.alarm_trade + 1)
        canvas.line(x, _TOP, x, _TOP + _PLOT, "fold")
        canvas.text(min(x + 5, layout.end - 80), _TOP - 6, f"trade {found.alarm_trade + 1}", "label faint")
    canvas.marks_below(
        across, [(value, formats.count(value)) for value in ticks(0.0, float(n), layout.marks)], _TOP + _PLOT
    )
    canvas.text((layout.left + layout.end) / 2, _TOP + _PLOT + _FOOT - 6, "Closed trades", "label faint", "middle")
    return canvas.markup(layout.css)
