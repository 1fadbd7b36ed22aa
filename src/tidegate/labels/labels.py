"""Outcomes of entries: triple barrier, fixed horizon and functions of one's own, with end times and weights for their overlap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import Bars, Floats, Times
from tidegate.errors import NotEnoughHistory
from tidegate.features.window import Window
from tidegate.labels.own import exits
from tidegate.strategy.strategy import Costs
from tidegate.strategy.strategy import Labels as LabelRule


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Outcome of a long entry at the open after each of n bars.

    Attributes:
        won: (n,) float64, 1 the long entry gained, 0 it did not, NaN where the outcome is not known.
        gain: (n,) float64, simple return of the long entry before costs, NaN likewise.
        ends_at: (n,) int64 UTC ms when the outcome is known; the largest int64 where it never is.
        end_row: (n,) int64, row of the bar in which it ends; n where it never does.
        width: (n,) float64, distance of the barriers as a fraction of the entry price, NaN where there are none.
        ambiguous: how many outcomes touched both barriers within one bar; counted as lost, the stop being taken first.
    """

    won: Floats
    gain: Floats
    ends_at: Times
    end_row: Times
    width: Floats
    ambiguous: int

    def known(self) -> NDArray[np.bool_]:
        """(n,) whether the outcome is known."""
        return np.isfinite(self.won)


NEVER = np.iinfo(np.int64).max


def label(bars: Bars, rule: LabelRule, costs: Costs) -> Labels:
    """Judge an entry after each bar.

    A signal at the close of bar t enters at the open of t + 1. With the triple barrier the trade ends in the first of the next
    `horizon_bars` bars that touches entry times (1 +- width), or at the open after them; `width` is `barrier_sigmas` volatilities
    over the horizon, known at t, and at least `min_barrier_costs` round-trip costs. A bar that opens beyond a barrier ends there at
    its open. With the fixed horizon the trade ends at the open after `horizon_bars` bars. With a function of the user's own it ends
    where that says, and its outcome is known at the close of that bar.

    Args:
        bars: n bars, ascending, validated.
        rule: the strategy's label rule.
        costs: used for the least width only; `gain` is before costs.
    Raises:
        NotEnoughHistory: not one outcome is known.
        ConfigurationError: a function of the user's own gives what no trade can be.
    Source: Lopez de Prado 2018, ch. 3.
    """
    if len(bars) < minimum_bars(rule):
        raise NotEnoughHistory(
            f"{bars.symbol} has too few bars to label", expected=minimum_bars(rule), actual=len(bars)
        )
    if rule.method == "fixed_horizon":
        return _fixed_horizon(bars, rule.horizon_bars)
    if rule.is_own:
        return _own(bars, rule, costs)
    return _triple_barrier(bars, rule.horizon_bars, barrier_width(bars, rule, costs))


def minimum_bars(rule: LabelRule) -> int:
    """Bars from which on at least one outcome is known."""
    before = rule.volatility_bars + 1 if rule.method == "triple_barrier" else rule.lookback or 1
    return before + rule.horizon_bars + 1


def barrier_width(bars: Bars, rule: LabelRule, costs: Costs) -> Floats:
    """(n,) barrier distance as a fraction of the entry price, known at each bar's close; NaN while the volatility is not known."""
    rows = len(bars) - rule.volatility_bars
    volatility = Window(bars, rows).std(Window(bars, rows).log_return, rule.volatility_bars)
    least = rule.min_barrier_costs * 2.0 * costs.side_bps / 1e4
    width = np.full(len(bars), np.nan)
    width[rule.volatility_bars :] = np.maximum(rule.barrier_sigmas * volatility * np.sqrt(rule.horizon_bars), least)
    return width


def _fixed_horizon(bars: Bars, horizon: int) -> Labels:
    n = len(bars)
    known = n - horizon - 1
    gain = np.full(n, np.nan)
    gain[:known] = bars.open[horizon + 1 :] / bars.open[1 : n - horizon] - 1.0
    won = np.where(np.isfinite(gain), (gain > 0).astype(np.float64), np.nan)
    end_row = np.full(n, n, dtype=np.int64)
    end_row[:known] = np.arange(horizon + 1, n)
    ends_at = np.full(n, NEVER, dtype=np.int64)
    ends_at[:known] = bars.opened_at[horizon + 1 :]
    return Labels(won, gain, ends_at, end_row, np.full(n, np.nan), 0)


def _own(bars: Bars, rule: LabelRule, costs: Costs) -> Labels:
    n = len(bars)
    found = exits(bars, rule, costs)
    entry = np.append(bars.open[1:], np.nan)
    gain = found.price / entry - 1.0
    ends_at = np.append(bars.closed_at, NEVER)[found.row]
    won = np.where(np.isfinite(gain), (gain > 0).astype(np.float64), np.nan)
    return Labels(won, gain, ends_at, found.row, np.full(n, np.nan), 0)


def _triple_barrier(bars: Bars, horizon: int, width: Floats) -> Labels:
    n = len(bars)
    gain = np.full(n, np.nan)
    end_row = np.full(n, n, dtype=np.int64)
    ends_at = np.full(n, NEVER, dtype=np.int64)
    open_rows = np.flatnonzero(np.isfinite(width[:-1]))  # rows whose trade has not ended yet
    entry = np.full(n, np.nan)
    entry[:-1] = bars.open[1:]
    ambiguous = 0
    for step in range(1, horizon + 1):
        open_rows = open_rows[open_rows + step < n]
        at = open_rows + step
        price, reach = entry[open_rows], width[open_rows]
        upper, lower = price * (1.0 + reach), price * (1.0 - reach)
        opening = bars.open[at]
        lost = bars.low[at] <= lower
        gained = bars.high[at] >= upper
        gap_up = opening >= upper
        ambiguous += int((lost & gained & ~gap_up & (opening > lower)).sum())
        first_up = gap_up | (gained & ~lost)
        ended = lost | gained
        exit_price = np.where(first_up, np.maximum(upper, opening), np.minimum(lower, opening))
        done = open_rows[ended]
        gain[done] = (exit_price / price - 1.0)[ended]
        end_row[done] = done + step
        ends_at[done] = bars.closed_at[done + step]
        open_rows = open_rows[~ended]
    timed_out = open_rows[open_rows + horizon + 1 < n]
    last = timed_out + horizon + 1
    gain[timed_out] = bars.open[last] / entry[timed_out] - 1.0
    end_row[timed_out] = last
    ends_at[timed_out] = bars.opened_at[last]
    won = np.where(np.isfinite(gain), (gain > 0).astype(np.float64), np.nan)
    return Labels(won, gain, ends_at, end_row, width, ambiguous)


def uniqueness(start_row: Times, end_row: Times) -> Floats:
    """Weights for overlapping outcomes: the mean, over a trade's bars, of one over the number of trades alive.

    Args:
        start_row: (m,) first bar of each trade (the entry bar).
        end_row: (m,) last bar of each trade, >= start_row.
    Returns:
        (m,) float64 in (0, 1], 1 where a trade overlaps no other.
    Source: Lopez de Prado 2018, ch. 4.
    """
    if len(start_row) == 0:
        return np.empty(0)
    origin = int(start_row.min())
    size = int(end_row.max()) - origin + 2
    change = np.bincount(start_row - origin, minlength=size) - np.bincount(end_row - origin + 1, minlength=size)
    alive = np.cumsum(change)[:-1]
    share = np.concatenate(([0.0], np.cumsum(1.0 / np.maximum(alive, 1))))
    weights: Floats = (share[end_row - origin + 1] - share[start_row - origin]) / (end_row - start_row + 1)
    return weights
