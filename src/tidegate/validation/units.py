"""Mixed-up units: times in seconds among milliseconds, prices in cents for a stretch, one column in another unit."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Bars
from tidegate.validation.finding import Rows
from tidegate.validation.runs import long_runs, starts_of

FACTOR: Final = 50.0
"""No market opens at fifty times its last price; a split, a redenomination or another unit does."""
_TIME_FACTORS: Final = (1_000, 1_000_000)
_YEAR_1973_MS: Final = 100_000_000_000
_MIN_COLUMN_RUN: Final = 3


@dataclass(frozen=True, slots=True)
class Mixup:
    """Rows in another unit than the rest, and a sentence about them."""

    rows: Rows
    message: str


def time_mixup(bars: Bars) -> Mixup | None:
    """Opening times that are not in milliseconds: some rows against the rest, or all of them against the interval.

    Args:
        bars: n raw bars in any order.
    """
    times = bars.opened_at
    if len(times) < 2:
        return None
    typical = int(np.partition(times, len(times) // 2)[len(times) // 2])
    if typical >= _YEAR_1973_MS:
        stray = (times > 0) & ((times < typical / FACTOR) | (times > typical * FACTOR))
        if stray.any():
            message = "opening times in another unit than the rest, such as seconds among milliseconds"
            return Mixup(np.flatnonzero(stray), message)
    step_ms = bars.interval.milliseconds
    steps = np.abs(np.diff(times))
    if np.count_nonzero(steps == step_ms) * 2 >= len(steps):
        return None
    typical_step = float(np.median(steps))
    for factor in _TIME_FACTORS:
        for unit, expected in ((1 / factor, step_ms / factor), (factor, step_ms * factor)):
            if abs(typical_step - expected) <= expected / 100:
                message = f"all opening times stand {unit:g} times the interval apart: they are not milliseconds"
                return Mixup(np.arange(len(times)), message)
    return None


def price_mixup(bars: Bars) -> Mixup | None:
    """Prices at another level than most, reached by a step from one bar's close to the next bar's open.

    A crash, however deep, runs through the prices within bars; a change of unit happens between two of them. One column in another
    unit shows as a high, or a low, far from its own bar's body for several bars in a row; a single such wick may have been traded.

    Args:
        bars: n ascending bars with positive prices.
    """
    if not len(bars):
        return None
    step = np.zeros(len(bars))
    step[1:] = np.log(bars.open[1:]) - np.log(bars.close[:-1])
    step[np.abs(step) < np.log(FACTOR)] = 0.0
    if step.any():
        level = np.cumsum(step)
        distance = np.abs(level - np.partition(level, len(level) // 2)[len(level) // 2])
        rows = np.flatnonzero(distance > np.log(FACTOR) / 2)
        # Prices may lie further apart than any number says.
        factor = np.exp(min(float(np.median(distance[rows])), np.log(np.finfo(np.float64).max)))
        return Mixup(rows, f"prices stand a factor of about {factor:.3g} from most others, as in another unit")
    for name, wick in _wicks(bars):
        members, _, _ = long_runs(wick, starts_of(wick), _MIN_COLUMN_RUN)
        rows = np.flatnonzero(members)
        if len(rows):
            return Mixup(
                rows, f"column {name} stands a factor of {FACTOR:g} or more from the others, as in another unit"
            )
    return None


def _wicks(bars: Bars) -> tuple[tuple[str, NDArray[np.bool_]], ...]:
    top = np.maximum(bars.open, bars.close)
    bottom = np.minimum(bars.open, bars.close)
    return ("high", bars.high / FACTOR >= top), ("low", bars.low <= bottom / FACTOR)
