"""Charts of a calibration: promotion by true Sharpe ratio, yearly rates with their intervals, and what years earned."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from markupsafe import Markup

from tidegate.calibration.result import CurvePoint, Share, Spread
from tidegate.report import formats
from tidegate.report.charts.canvas import Canvas
from tidegate.report.charts.layout import HALF
from tidegate.report.charts.scales import Scale, nice_step, ticks

LINES: Final = ("main", "rival", "market", "fourth")
"""Classes of the policies' lines, in their order: a policy of one's own stands before the three that everybody has."""
LEAST_YEARS: Final = 20
"""Fewer years than this make no histogram."""
_HEIGHT: Final = 280
_TOP, _FOOT = 16, 42
_ROW: Final = 17
_GROUP: Final = 24


def power_chart(name: str, points: Sequence[CurvePoint], policies: Sequence[str], *, yearly: bool) -> Markup:
    """Share promoted by true Sharpe ratio, a line a policy.

    Args:
        name: unique on the page.
        points: ascending.
        policies: in the order of `LINES`.
        yearly: of years rather than of looks.
    """
    if not points:
        return Markup("")
    of = "years with a promotion" if yearly else "looks that promote"
    shown = {policy: [(point.year if yearly else point.look)[policy] for point in points] for policy in policies}
    description = "; ".join(
        f"{policy}: " + ", ".join(f"{formats.percent(share.value, 1)} at {point.sharpe:g}" for share, point in zip(shares, points, strict=True))
        for policy, shares in shown.items()
    )  # fmt: skip
    canvas = Canvas(f"{name}-half", HALF.width, _HEIGHT, f"Share of {of} by true Sharpe ratio", description)
    sharpes = np.array([point.sharpe for point in points])
    across = Scale(float(sharpes[0]), float(sharpes[-1]) or 1.0, HALF.left, HALF.end - 6)
    up = Scale(0.0, 1.0, _HEIGHT - _FOOT, _TOP)
    canvas.marks_left(up, [(value, formats.percent(value, 0)) for value in ticks(0, 1, 5)], HALF.left, HALF.end)
    for css, (policy, shares) in reversed(list(zip(LINES, shown.items(), strict=False))):
        values = np.array([share.value for share in shares])
        canvas.curve(across(sharpes), up(values), f"line {css}")
        for x, share, point in zip(across(sharpes).tolist(), shares, points, strict=True):
            canvas.line(x, up.at(share.low), x, up.at(share.high), "whisker" if css == "main" else "whisker other")
            canvas.dot(
                x, up.at(share.value), 2.5, f"dot {css}", f"{policy}, true Sharpe {point.sharpe:g}: {interval(share)}"
            )
    canvas.line(HALF.left, up.start, HALF.end, up.start, "axis")
    canvas.marks_below(across, [(value, f"{value:g}") for value in ticks(across.low, across.high, 4)], up.start)
    canvas.text(
        (HALF.left + HALF.end) / 2, _HEIGHT - 6, "True annual Sharpe ratio, net of costs", "label faint", "middle"
    )
    return canvas.markup("half")


def rates_chart(name: str, groups: Mapping[str, Mapping[str, Share]], bound: float | None) -> Markup:
    """Shares of years with a promotion, a bar with its interval for each policy in each world.

    Args:
        name: unique on the page.
        groups: by world, by policy.
        bound: what the chosen policy allows without skill; None for no mark.
    """
    rows = sum(len(group) for group in groups.values())
    if not rows:
        return Markup("")
    left, end = 92.0, HALF.end - 46
    height = 8 + len(groups) * _GROUP + rows * _ROW + _FOOT
    description = "; ".join(
        f"{world}: " + ", ".join(f"{policy} {interval(share)}" for policy, share in group.items())
        for world, group in groups.items()
    )
    canvas = Canvas(f"{name}-half", HALF.width, height, "Years with at least one promotion", description)
    across = Scale(0.0, 1.0, left, end)
    bottom = height - _FOOT
    for value in ticks(0, 1, 4):
        canvas.line(across.at(value), 6, across.at(value), bottom, "grid")
    y = 8.0
    for number, (world, group) in enumerate(groups.items()):
        y += _GROUP
        canvas.text(4, y - 7, world, "label strong")
        if bound is not None and not number:
            canvas.line(across.at(bound), y - 12, across.at(bound), y + len(group) * _ROW - 3, "limit")
            canvas.text(across.at(bound) + 5, y - 7, f"allowed {formats.percent(bound, 0)}", "label limit-label")
        for css, (policy, share) in zip(LINES, group.items(), strict=False):
            canvas.text(left - 8, y + 10, policy, anchor="end")
            tip = f"{policy}: {interval(share)}"
            canvas.box(left, y + 1, across.at(share.value) - left, _ROW - 5, f"bar {css}", tip)
            canvas.line(across.at(share.low), y + 7, across.at(share.high), y + 7, "whisker dark")
            right = max(across.at(share.high), across.at(bound or 0.0) if not number else 0.0)
            canvas.text(right + 6, y + 10, percent(share.value))
            y += _ROW
    canvas.line(left, bottom, end, bottom, "axis")
    canvas.marks_below(across, [(value, formats.percent(value, 0)) for value in ticks(0, 1, 4)], bottom)
    canvas.text((left + end) / 2, height - 6, "Share of years", "label faint", "middle")
    return canvas.markup("half")


def earned_chart(name: str, title: str, spread: Spread) -> Markup:
    """Histogram of what years earned in which something was in production; nothing of too few of them."""
    counts = np.array(spread.counts)
    if counts.sum() < LEAST_YEARS:
        return Markup("")
    description = (
        f"mean {formats.percent(spread.mean)}, median {formats.percent(spread.median)}, one year in twenty below "
        f"{formats.percent(spread.q05)}; nothing was ever in production in {formats.percent(spread.idle, 1)} of years"
    )
    canvas = Canvas(f"{name}-half", HALF.width, _HEIGHT - 30, title, description)
    edges = np.array(spread.edges)
    across = Scale(float(edges[0]), float(edges[-1]), HALF.left, HALF.end)
    up = Scale(0.0, float(counts.max()) * 1.08, _HEIGHT - 30 - _FOOT, _TOP)
    canvas.marks_left(up, [(v, formats.count(v)) for v in ticks(0, up.high, 4) if v == round(v)], HALF.left, HALF.end)
    for left, right, number in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True):
        css = "bar loss" if right <= 1e-12 else "bar gain"
        tip = f"{formats.percent(left, 1)} to {formats.percent(right, 1)}: {formats.plural(number, 'year')}"
        canvas.box(
            across.at(left) + 0.5,
            up.at(number),
            across.at(right) - across.at(left) - 1,
            up.start - up.at(number),
            css,
            tip,
        )
    canvas.line(HALF.left, up.start, HALF.end, up.start, "axis")
    places = 0 if nice_step(across.high - across.low, 5) >= 0.01 else 1
    canvas.marks_below(across, [(v, formats.percent(v, places)) for v in ticks(across.low, across.high, 5)], up.start)
    canvas.text(
        (HALF.left + HALF.end) / 2, _HEIGHT - 36, "Net return of a year, of the capital", "label faint", "middle"
    )
    return canvas.markup("half")


def interval(share: Share, places: int = 1) -> str:
    """A share with its interval."""
    return f"{percent(share.value, places)} ({percent(share.low, places)} to {percent(share.high, places)})"


def percent(value: float, places: int = 1) -> str:
    """A share as a percentage; one that is small and not zero is not shown as zero."""
    least = 10.0 ** -(places + 2)
    return (
        f"<{formats.NBSP}{formats.percent(least, places)}" if 0 < value < least / 2 else formats.percent(value, places)
    )
