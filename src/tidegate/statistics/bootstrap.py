"""Intervals by the stationary bootstrap: random blocks of geometric length keep what follows from one another together."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.ratios import NAN
from tidegate.backtest.result import Backtest, Floats, Times
from tidegate.bars.interval import DAY_MS

MOST_UNITS: Final = 2_000
"""More bars or trades than this are put together before they are drawn."""
_LEAST_DAYS: Final = 60
_LEAST_FOR_BLOCKS: Final = 20
_CHUNK: Final = 2_000_000  # drawn units at once
_ROUNDING: Final = 1e-12  # of a mean square: less variance is none


@dataclass(frozen=True, slots=True)
class Interval:
    """A bootstrap interval, by percentiles.

    Attributes:
        low, high: the ends; NaN where too many draws have no value.
        level: its nominal coverage.
        draws: resamples.
        block: mean block length in drawn units: bars or trades, or days of them where there are many.
    """

    low: float
    high: float
    level: float
    draws: int
    block: float


@dataclass(frozen=True, slots=True)
class _Units:
    """What is drawn as one: g bars, or days of bars. Money is over the capital.

    Attributes:
        count, profit, square: (g,) bars, sum of their returns, sum of their squares.
        low, high: (g,) worst equity and highest close inside, against the unit's start.
        fall, peak: (g,) largest fall from an earlier close inside the unit, and that close, against the unit's start.
    """

    count: Floats
    profit: Floats
    square: Floats
    low: Floats
    high: Floats
    fall: Floats
    peak: Floats


def block_length(series: Floats) -> float:
    """Mean block length of the stationary bootstrap that estimates the variance of the mean best.

    Args:
        series: (n,) in time order.
    Returns:
        at least 1; 1 for fewer than 20 values or without variation; NaN where a value is not finite.
    Source: Politis, White 2004; Patton, Politis, White 2009.
    """
    return _optimal(series, "stationary")


def circular_block_length(series: Floats) -> float:
    """The same for blocks of fixed length on a circle."""
    return _optimal(series, "circular")


def _optimal(series: Floats, kind: str) -> float:
    if not np.isfinite(series).all():
        return NAN
    if len(series) < _LEAST_FOR_BLOCKS or np.ptp(series) == 0:
        return 1.0
    from arch.bootstrap import optimal_block_length

    found = float(optimal_block_length(series)[kind].iloc[0])
    return max(1.0, found) if math.isfinite(found) else 1.0


def stationary_rows(n: int, block: float, draws: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(draws, n) rows of resamples: blocks begin anywhere, end with probability 1 / block at each step and wrap around.

    Source: Politis, Romano 1994.
    """
    steps = np.arange(n)
    begins = rng.random((draws, n)) * block < 1.0
    last = np.maximum.accumulate(np.where(begins, steps, 0), axis=1)
    starts = rng.integers(n, size=(draws, n))
    return np.asarray((np.take_along_axis(starts, last, axis=1) + steps - last) % n, np.intp)


def resamples(n: int, block: float, draws: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Rows of all resamples, some at a time, so that memory stays bounded."""
    at_once = max(1, _CHUNK // n)
    for begun in range(0, draws, at_once):
        yield stationary_rows(n, block, min(at_once, draws - begun), rng)


def times_drawn(rows: NDArray[np.intp], n: int) -> Floats:
    """(draws, n) how often each unit occurs in each resample: a resample's sums are this times the units' values."""
    draws = len(rows)
    flat = (rows + n * np.arange(draws)[:, None]).ravel()
    return np.bincount(flat, minlength=draws * n).reshape(draws, n).astype(np.float64)


def interval_of(draws: Floats, level: float, block: float) -> Interval:
    """Percentile interval of (draws,) values.

    A draw without a value counts as the lowest for the low end and as the highest for the high end: the interval is as wide as it may be.
    """
    tail = (1.0 - level) / 2.0
    low = float(np.quantile(np.where(np.isnan(draws), -np.inf, draws), tail, method="lower"))
    high = float(np.quantile(np.where(np.isnan(draws), np.inf, draws), 1.0 - tail, method="higher"))
    unknown = np.isnan(draws).any()
    return Interval(
        NAN if low == -np.inf and unknown else low,
        NAN if high == np.inf and unknown else high,
        level,
        len(draws),
        block,
    )


def metric_intervals(
    backtest: Backtest, periods_per_year: float, *, seed: int, draws: int = 1000, level: float = 0.95
) -> dict[str, Interval]:
    """Intervals of the metrics that gates look at.

    Series metrics: bars are drawn in blocks. Beyond 2,000 bars, whole days are drawn (equal runs of bars where there are fewer than 60
    days): a day's sum, sum of squares, lowest point and largest fall hold all that the metrics need, so each is that of the drawn bars
    themselves; all that changes is that blocks begin and end at midnight, which keeps more dependence, not less.
    Trade metrics: trades in order of exit are drawn in blocks, days of trades beyond 2,000.

    Args:
        backtest: n bars and m trades.
        periods_per_year: bars a year.
        seed: same seed, same intervals.
        draws: resamples.
        level: coverage, in (0, 1).
    Returns:
        sharpe, win_rate, max_drawdown, profit_factor, payoff_ratio and total_return; ends are NaN without trades, where a return
        or profit is not finite, or where too many draws have no value.
    Source: Politis, Romano 1994.
    """
    names = ("sharpe", "win_rate", "max_drawdown", "profit_factor", "payoff_ratio", "total_return")
    series = (backtest.net_return, backtest.equity, backtest.equity_low, backtest.trades.net_pnl)
    if len(backtest.trades) == 0 or not all(np.isfinite(each).all() for each in series):
        return dict.fromkeys(names, Interval(NAN, NAN, level, draws, NAN))
    of_bars, of_trades = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    found = _of_series(backtest, periods_per_year, of_bars, draws, level)
    found |= _of_trades(backtest, of_trades, draws, level)
    return {name: found[name] for name in names}


def _of_series(
    backtest: Backtest, periods_per_year: float, rng: np.random.Generator, draws: int, level: float
) -> dict[str, Interval]:
    units = _units(backtest)
    n = len(units.profit)
    block = block_length(units.profit)
    sums: list[Floats] = []
    falls: list[Floats] = []
    for rows in resamples(n, block, draws, rng):
        drawn = times_drawn(rows, n)
        sums.append(drawn @ np.stack((units.count, units.profit, units.square), axis=1))
        falls.append(_drawdown(units, rows))
    count, profit, square = np.concatenate(sums).T
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (square - profit**2 / count) / (count - 1.0)
        ratio = np.where(
            variance > _ROUNDING * square / count, profit / count / np.sqrt(variance) * math.sqrt(periods_per_year), NAN
        )
    # A resample of days of unequal length has more or fewer bars than there were.
    total = profit * (len(backtest) / count)
    values = {"sharpe": ratio, "total_return": total, "max_drawdown": np.concatenate(falls)}
    return {name: interval_of(value, level, block) for name, value in values.items()}


def _drawdown(units: _Units, rows: NDArray[np.intp]) -> Floats:
    """(draws,) largest fall from a peak, over that peak, of each resampled path; inside a unit, of the largest fall there."""
    profit = units.profit[rows]
    end = 1.0 + np.cumsum(profit, axis=1)
    start = end - profit
    # Highest close at or before each unit's start, closes inside earlier units included.
    inside = start + units.high[rows]
    before = np.maximum.accumulate(np.concatenate((start[:, :1], inside[:, :-1]), axis=1), axis=1)
    across = (before - (start + units.low[rows])) / before
    # Under an earlier peak a fall inside a unit is part of a deeper one, which `across` holds.
    within = units.fall[rows] / np.maximum(start + units.peak[rows], before)
    return np.asarray(np.maximum(np.maximum(across, within).max(axis=1), 0.0), np.float64)


def _units(backtest: Backtest) -> _Units:
    labels = _together(backtest.closed_at - 1, len(backtest))
    first = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    returns = backtest.net_return
    low = returns + (backtest.equity_low - backtest.equity) / backtest.capital
    sizes = np.diff(first, append=len(returns))
    # Side by side: one row a unit, padded with bars in which nothing happens.
    width = int(sizes.max())
    column = np.arange(len(returns)) - np.repeat(first, sizes)
    row = np.repeat(np.arange(len(first)), sizes)
    grid, lows = np.zeros((len(first), width)), np.full((len(first), width), np.inf)
    grid[row, column], lows[row, column] = returns, low
    end = np.cumsum(grid, axis=1)
    start = end - grid
    peaks = np.maximum.accumulate(np.maximum(start, 0.0), axis=1)
    depths = start + lows
    falls = np.where(np.isfinite(depths), peaks - depths, -np.inf)
    deepest = falls.argmax(axis=1)
    at = np.arange(len(first))
    return _Units(
        count=sizes.astype(np.float64),
        profit=np.add.reduceat(returns, first),
        square=np.add.reduceat(returns**2, first),
        low=depths.min(axis=1),
        high=end.max(axis=1),
        fall=falls[at, deepest],
        peak=peaks[at, deepest],
    )


def _together(times: Times, n: int) -> Times:
    """(n,) ascending labels of what is drawn as one."""
    rows = np.arange(n)
    if n <= MOST_UNITS:
        return rows
    days = times // DAY_MS
    if len(np.unique(days)) >= _LEAST_DAYS:
        return days
    return rows // -(-n // MOST_UNITS)


def _of_trades(backtest: Backtest, rng: np.random.Generator, draws: int, level: float) -> dict[str, Interval]:
    trades = backtest.trades
    order = np.argsort(trades.exit_at, kind="stable")
    net = trades.net_pnl[order]
    labels = _together(trades.exit_at[order], len(net))
    first = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    won = net > 0
    columns = np.stack((np.ones(len(net)), won, np.where(won, net, 0.0), np.where(won, 0.0, -net)), axis=1)
    table = np.add.reduceat(columns, first, axis=0)
    n = len(table)
    block = max(block_length(np.add.reduceat(net, first)), block_length(table[:, 1] / table[:, 0]))
    drawn = [times_drawn(rows, n) @ table for rows in resamples(n, block, draws, rng)]
    count, wins, gained, lost = np.concatenate(drawn).T
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.where((gained > 0) | (lost > 0), gained / lost, NAN)
        payoff = np.where((wins > 0) & (lost > 0), gained / wins / (lost / (count - wins)), NAN)
    values = {"win_rate": wins / count, "profit_factor": factor, "payoff_ratio": payoff}
    return {name: interval_of(value, level, block) for name, value in values.items()}
