"""Series and counts that the page shows and the result does not hold."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tidegate.backtest.ratios import wilson_interval
from tidegate.bars.bars import Floats
from tidegate.bars.interval import DAY_MS
from tidegate.replay.result import DecisionKind, Hindsight, PathResult, ReplayResult, Training

LEAST_TRADES: Final = 30
LEAST_DAYS: Final = 30
"""Trades, and days with a return, under which a Sharpe ratio's standard error means nothing: it is an estimate for many of both."""


def profit(path: PathResult) -> Floats:
    """(n,) net profit since the start, over the capital; profits are not reinvested."""
    found: Floats = np.cumsum(path.net_return).astype(np.float64)
    return found


def drawdown(path: PathResult) -> Floats:
    """(n,) fraction by which the equity at each close lies under its highest earlier close, the capital at the start included."""
    equity = 1.0 + profit(path)
    peak = np.maximum(np.maximum.accumulate(equity), 1.0) if len(equity) else equity
    falls: Floats = (peak - equity) / peak
    return falls


def daily(path: PathResult) -> Floats:
    """(d,) net profits by UTC day, over the capital; a close at midnight ends its day."""
    first = np.flatnonzero(np.diff((path.closed_at - 1) // DAY_MS, prepend=-1))
    summed: Floats = np.add.reduceat(path.net_return, first) if len(first) else np.empty(0)
    return summed


def days_with_return(path: PathResult) -> int:
    """UTC days on which the path earned or lost anything."""
    return int(np.count_nonzero(daily(path)))


def too_few(path: PathResult) -> bool:
    """Whether a path traded too little to tell skill from chance; buy and hold, which never closes a trade, is judged by its days."""
    few_trades = path.name != "hold" and path.summary.trades < LEAST_TRADES
    return few_trades or days_with_return(path) < LEAST_DAYS


@dataclass(frozen=True, slots=True)
class Judged:
    """How decisions of one kind look in hindsight.

    Attributes:
        right, wrong, undecided: how many.
        low, high: 95 % Wilson interval of the share that was right among those decided; NaN without any.
        difference: sum of what the decisions earned more than the other choice would have, a share of the capital.
    """

    right: int
    wrong: int
    undecided: int
    low: float
    high: float
    difference: float

    @property
    def decided(self) -> int:
        """How many turned out one way or the other."""
        return self.right + self.wrong


def judged(path: PathResult, kind: DecisionKind) -> Judged:
    """Count a path's decisions of one kind by how they turned out."""
    found = [seen for month in path.months for seen in month.hindsight if seen.decision == kind]
    right, wrong = _count(found, "right"), _count(found, "wrong")
    low, high = wilson_interval(right, right + wrong)
    return Judged(right, wrong, len(found) - right - wrong, low, high, sum(seen.difference for seen in found))


def _count(found: Iterable[Hindsight], judgement: str) -> int:
    return sum(seen.judgement == judgement for seen in found)


def deployed(result: ReplayResult) -> PathResult:
    """The path that the page is about.

    Raises:
        ValueError: the replay did not walk it.
    """
    path = result.path("deployed")
    if path is None:
        raise ValueError("a replay without the deployed path has nothing to show")
    return path


def fit_share(training: Training) -> float:
    """XGBoost's own fits as a share of the time that the workers had, each for as many fits as it makes side by side.

    NaN where that is not known: no total, or more than all of it, which no record of one replay can be.
    """
    total = training.seconds.get("total", 0.0) * training.workers * training.fits_at_once
    return training.fit_s / total if 0 < total >= training.fit_s else float("nan")
