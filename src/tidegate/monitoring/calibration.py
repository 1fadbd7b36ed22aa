"""Probabilities against what happened, and what they foretell before it has."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegate.backtest.result import Floats, Sides
from tidegate.bars.bars import Bars
from tidegate.labels.labels import label, minimum_bars
from tidegate.monitoring.result import Calibration
from tidegate.strategy.strategy import Strategy

BINS: Final = 10


def calibration(probability: Floats, won: Floats) -> Calibration:
    """Forecasts in at most ten bins of equal numbers, and the expected calibration error.

    The error is the mean, over forecasts, of the distance between their bin's mean forecast and its share of wins. It is above zero by
    chance alone: about sqrt(k / (2 pi n)) for a perfect forecast near one half in k bins, and more where labels overlap in time.

    Args:
        probability: (n,) in [0, 1], NaN where there is none.
        won: (n,) 1 or 0, NaN where not known.
    Returns:
        bins ascending by forecast; none, and an error of NaN, where not one forecast has an outcome.
    Source: Naeini, Cooper, Hauskrecht 2015, with bins of equal numbers.
    """
    both = np.isfinite(probability) & np.isfinite(won)
    forecasts, outcomes = probability[both], won[both]
    if not len(forecasts):
        nothing = np.empty(0)
        return Calibration(nothing, nothing, nothing, float("nan"))
    edges = np.unique(np.quantile(forecasts, np.linspace(0.0, 1.0, BINS + 1)))
    bin_of = np.clip(np.searchsorted(edges, forecasts, side="right") - 1, 0, max(len(edges) - 2, 0))
    count = np.bincount(bin_of).astype(np.float64)
    filled = count > 0
    count = count[filled]
    forecast = np.bincount(bin_of, weights=forecasts)[filled] / count
    observed = np.bincount(bin_of, weights=outcomes)[filled] / count
    error = float(np.sum(count * np.abs(forecast - observed)) / len(forecasts))
    return Calibration(forecast, observed, count, error)


def estimated_win_rate(probability: Floats, side: Sides) -> float:
    """The share of entries that the model itself expects to end in favour: the mean of p for longs and 1 - p for shorts.

    p foretells the strategy's label, that a long entry at the next open gains before costs by the label's own exits. So this is the
    expected share of won labels, not of won trades: costs and the position policy's exits are not in it, and it lies above the win
    rate of trades by about as much in the backtest as here. It is right only as far as the probabilities are calibrated. What it tells
    early is a model that has become less sure of what it trades.

    Args:
        probability: (m,) at the signal of each entry; NaN is left out.
        side: (m,) 1 long, -1 short.
    Returns:
        a fraction, NaN without entries.
    Source: the idea of confidence-based performance estimation, Bialek et al. 2024.
    """
    foretold = np.where(side > 0, probability, 1.0 - probability)
    foretold = foretold[np.isfinite(foretold)]
    return float(np.mean(foretold)) if len(foretold) else float("nan")


def known_labels(bars: Bars, closed_at: NDArray[np.int64], strategy: Strategy) -> Floats:
    """Outcome of an entry after each of some bars, by the strategy's own label rule, from these bars alone.

    Args:
        bars: n bars, ascending, all that are known and as many before the first asked one as the barriers' width needs.
        closed_at: (m,) int64 UTC ms.
        strategy: label rule and costs.
    Returns:
        (m,) 1 a long entry gained, 0 it did not, NaN where the outcome, or the bar, is not known.
    """
    found = np.full(len(closed_at), np.nan)
    if len(bars) < minimum_bars(strategy.labels):
        return found
    won = label(bars, strategy.labels, strategy.costs).won
    known_at = bars.closed_at
    at = np.minimum(np.searchsorted(known_at, closed_at), len(bars) - 1)
    there = known_at[at] == closed_at
    found[there] = won[at[there]]
    return found
