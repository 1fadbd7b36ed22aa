"""Bars without any fault, to be edited by tests."""

from dataclasses import replace

import numpy as np

from tidegate.bars.bars import Bars
from tidegate.bars.interval import Interval

HOUR_MS = 3_600_000
START_MS = 1_704_067_200_000  # Monday, 1 January 2024


def sound_bars(n: int = 200, interval: str = "1h", *, start_ms: int = START_MS, seed: int = 7) -> Bars:
    """A random walk on the grid without gaps, jumps, flat or silent bars."""
    random = np.random.default_rng(seed)
    returns = random.uniform(-0.01, 0.01, n)
    close = 100 * np.exp(np.cumsum(returns))
    opened = np.concatenate(([100.0], close[:-1]))[:n]
    step_ms = Interval(interval).milliseconds
    return Bars.of(
        "BTC/USDT",
        interval,
        opened_at=start_ms + step_ms * np.arange(n),
        open=opened,
        high=np.maximum(opened, close) * 1.001,
        low=np.minimum(opened, close) * 0.999,
        close=close,
        volume=random.uniform(1, 10, n),
    )


def edited(bars: Bars, column: str, rows: int | slice | list[int], values: object) -> Bars:
    """The bars with some values of one column replaced."""
    changed = getattr(bars, column).copy()
    changed[rows] = values
    return replace(bars, **{column: changed})


def as_of(bars: Bars) -> int:
    """The time at which the last of ascending bars has just closed."""
    return int(bars.closed_at[-1])
