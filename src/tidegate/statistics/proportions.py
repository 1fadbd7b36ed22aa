"""Shares of wins: their interval, and the share that pays."""

import math

from scipy.special import ndtri

from tidegate.backtest import ratios
from tidegate.backtest.ratios import NAN
from tidegate.errors import DataError


def wilson_interval(wins: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share of independent trades.

    Args:
        wins: 0 <= wins <= n.
        n: trades.
        level: coverage, in (0, 1).
    Returns:
        low and high in [0, 1]; NaN, NaN for nothing counted.
    Raises:
        DataError: wins or level out of range.
    Source: Wilson 1927.
    """
    if not (0 <= wins <= n and 0.0 < level < 1.0):
        raise DataError("interval of a share", expected="0 <= wins <= n and 0 < level < 1", actual=(wins, n, level))
    return ratios.wilson_interval(wins, n, float(ndtri((1.0 + level) / 2.0)))


def break_even_win_rate(payoff_ratio: float) -> float:
    """The win rate at which nothing is earned: 1 / (1 + payoff ratio); NaN for a ratio that is not finite and at least 0."""
    return 1.0 / (1.0 + payoff_ratio) if math.isfinite(payoff_ratio) and payoff_ratio >= 0 else NAN
