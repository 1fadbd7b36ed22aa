"""A line of block characters as a plot for places that show text only."""

from typing import Final

import numpy as np

from tidegate.backtest.result import Floats

BLOCKS: Final = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
GAP: Final = "\u00b7"


def sparkline(values: Floats, width: int = 48, *, low: float | None = None, high: float | None = None) -> str:
    """A plot of a series.

    Args:
        values: (n,) NaN becomes a dot in the middle of the line.
        width: characters at most; above, each shows the newest value of as many in a row.
        low: value of the lowest block, by default the series' lowest; what lies under it is drawn there.
        high: value of the highest block, likewise.
    Returns:
        one character a value, empty for no values.

    >>> sparkline(np.array([0.0, 1.0, 2.0, 3.0])), sparkline(np.array([1.0, float("nan"), 1.0]))
    ('▁▃▆█', '▄·▄')
    """
    if len(values) > width:
        values = values[np.linspace(0, len(values) - 1, width).round().astype(np.intp)]
    usable = values[np.isfinite(values)]
    if not len(usable):
        return GAP * len(values)
    low = float(usable.min()) if low is None else low
    high = float(usable.max()) if high is None else high
    return "".join(_block(value, low, high) for value in values.tolist())


def _block(value: float, low: float, high: float) -> str:
    if not np.isfinite(value):
        return GAP
    if high <= low:
        return BLOCKS[len(BLOCKS) // 2 - 1]
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return BLOCKS[round(share * (len(BLOCKS) - 1))]
